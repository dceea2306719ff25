"""Typed, frozen settings of stage two: defaults, then a YAML file, then `--set key=value`.

The defaults are the preset `paper-0.1`, so that what older versions wrote is read as it was meant.
A module of `head/` takes the section that is about it; only `run`, `training` and `detector` there
know the whole. `Settings` is the base of what other commands take as options.
"""

from __future__ import annotations

import difflib
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import MAX_SHOWN, InputError, did_you_mean, listed, shown
from .formats.limits import regular_file

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_BYTES = 1_000_000  # of a YAML file; the reader takes a minute for so much
MAX_PROBLEMS = 5  # named in a message; the rest are counted
WORDS = {  # pydantic's, and the shorter ones of our messages
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}

_Dilation = Annotated[int, Field(ge=1, le=1024)]
_Share = Annotated[float, Field(ge=0, le=1)]
_BelowOne = Annotated[float, Field(ge=0, lt=1)]
_AboveZero = Annotated[float, Field(gt=0, le=1)]


def setting(default: Any, sentence: str, *, metavar: str | None = None, **bounds: Any) -> Any:
    """A field of a model of settings.

    Args:
        default: the value where none is given; `...` where one must be.
        sentence: what it means, for users: the comment in YAML, or an option's help.
        metavar: what the help of an option calls the value.
        bounds: `ge`, `gt`, `le`, `lt` and the like, as for pydantic's Field.
    """
    return Field(default, description=sentence, json_schema_extra={"metavar": metavar}, **bounds)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Settings(_Section):
    """Settings outside of a configuration, which commands take as options; frozen.

    A field's description is its option's help (see `commands.options.settings_options`).

    Raises:
        InputError: a value is out of its range; the message names the setting.
    """

    if not TYPE_CHECKING:  # type checkers see the fields as arguments

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as e:
                raise InputError(explain(e, list(type(self).model_fields))) from None

    def changed(self, **values: Any) -> Self:
        """The same settings with other values; an InputError as above."""
        return type(self)(**{**dict(self), **values})


class DataConfig(_Section):
    """Which features and videos, and how training windows are drawn from them."""

    streams: tuple[Literal["rgb", "flow"], ...] = setting(
        (), "Feature streams, used side by side; empty for all that the file has."
    )
    train_subset: str = setting("", "Subset to train on; empty to find it by name.")
    validation_subset: str = setting(
        "", "Subset to validate on; empty to find it by name, none for no validation."
    )
    test_subset: str = setting("", "Subset to evaluate on; empty to find it by name.")
    window_steps: int = setting(100, "Rows of features in a training window.", ge=2, le=1_000_000)
    windows_per_video: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = setting(
        12, "Windows of a video in an epoch; auto covers it once, and makes least_steps."
    )
    least_steps: int = setting(
        200, "Least steps of a training whose windows are auto.", ge=1, le=10_000_000
    )
    background_share: _BelowOne = setting(
        0.0, "Share of the windows that hold no action, as far as there is background for them."
    )
    min_instance_share: _AboveZero = setting(
        0.75, "Least share of an action inside the window drawn for it."
    )
    min_crop: _AboveZero = setting(1.0, "Windows are shortened at random, to this share at least.")
    min_visible: _Share = setting(
        0.0, "Actions with less than this share in the window are dropped, others cut; 0 cuts none."
    )


class ModelConfig(_Section):
    """The head."""

    width: int = setting(256, "Channels inside the head.", ge=1, le=4096)
    input_dropout: _BelowOne = setting(0.5, "Share of input values that training drops.")
    channel_dropout: _BelowOne | Literal["auto"] = setting(
        0.0, "Share of input channels that training drops for a window; auto by how much it has."
    )
    instance_norm: _BelowOne = setting(
        0.0, "Share of channels normalised within each video, if videos differ much as a whole."
    )
    standardise: bool | Literal["auto"] = setting(
        False,
        "Whether each channel is standardised on entry; auto: where that tells classes better.",
    )
    fully_connected: Annotated[int, Field(ge=1, le=4096)] | None = setting(
        None, "Values of a row after a learned fully connected layer on entry; null for none."
    )
    embed_depth: Annotated[int, Field(ge=1, le=4)] | Literal["auto"] = setting(
        1, "Convolutions before TSA; auto: two where classes have many examples, or one."
    )
    classes: Literal["softmax", "sigmoid"] = setting(
        "softmax", "One class or background at a time (softmax), or each class by itself."
    )
    tsa: Literal["hard", "soft", "none"] = setting(
        "hard", "TSA by each step's likeliest class (hard), by all probabilities (soft), or no TSA."
    )
    tsa_threshold: _Share | None = setting(
        None, "TSA relates steps whose proposals have less tIoU; null weighs all by 1 - tIoU."
    )
    tsa_reach: Annotated[int, Field(ge=1, le=1_000_000)] | None = setting(
        None, "Most steps between steps that TSA relates; null for any, at squared cost."
    )
    tsa_same: bool = setting(
        False, "Whether TSA relates steps of the same proposal (B) instead of another (1 - B)."
    )
    tsa_sigmoid: bool = setting(
        True, "Whether queries, keys and values of TSA go through a sigmoid (Eq. 3)."
    )
    tpp: bool = setting(True, "Whether there are a pyramid (TPP) and final heads after it.")
    pyramid_levels: int = setting(3, "How often the pyramid of TPP halves the length.", ge=0, le=10)
    dilations: tuple[_Dilation, ...] = setting(
        (1, 2, 4), "Dilations of the convolutions of TPP.", max_length=16
    )
    stacked: bool = setting(
        False, "Whether dilated convolutions of TPP see what the one before has found."
    )
    levels: int = setting(1, "Levels of the final heads, each of half the length.", ge=1, le=12)
    first_reach: float = setting(
        4.0, "Most steps to an action's end on the first level.", gt=0, le=1e6
    )
    shared_heads: Literal["none", "outputs", "stages"] = setting(
        "none",
        "Whether convolutions of the heads are each output's own (none), shared by the outputs, or "
        "by outputs and by the stages before and after TPP.",
    )
    aggregate: bool = setting(
        False, "Whether a final proposal has the classes of all its rows, masked by actionness."
    )
    early_depth: int = setting(1, "Layers in the heads before TPP.", ge=0, le=4)
    final_depth: int = setting(1, "Layers in the heads after TPP.", ge=0, le=4)
    final_actionness: bool = setting(True, "Whether final class scores are times an actionness.")
    separable: bool = setting(False, "Whether convolutions after the embedding are cheap ones.")


class LossConfig(_Section):
    """Weights in the loss: each term counts by its stage's weight times its own."""

    pre: float = setting(1.0, "Weight of the heads before TSA.", ge=0, le=1e6)
    refined: float = setting(1.0, "Weight of the heads between TSA and TPP.", ge=0, le=1e6)
    final: float = setting(1.0, "Weight of the heads after TPP.", ge=0, le=1e6)
    classes: float = setting(1.0, "Weight of the focal loss (Eq. 5).", ge=0, le=1e6)
    boundary: float = setting(1.0, "Weight of the DIoU loss (Eq. 6).", ge=0, le=1e6)
    actionness: float = setting(1.0, "Weight of the actionness loss.", ge=0, le=1e6)
    focal_gamma: float = setting(
        2.0, "Focus on hard steps; 0 counts easy steps as much.", ge=0, le=100
    )
    focal_alpha: float = setting(0.5, "Weight of action against background.", gt=0, lt=1)
    centre_radius: float | None = setting(
        None,
        "Most strides from an action's centre to points that learn it; null for any.",
        ge=1,
        le=1e6,
    )
    reach_overlap: float = setting(
        1.0,
        "Factor on the longest action of each level; above 1, neighbouring levels share actions.",
        ge=1,
        le=1e6,
    )
    positives_momentum: _BelowOne = setting(
        0.0, "Momentum of the running count of action points that losses are divided by."
    )


class OptimConfig(_Section):
    """The training."""

    epochs: int = setting(20, "Passes over the training videos.", ge=1, le=1_000_000)
    batch_size: int = setting(16, "Windows in a step, over all processes.", ge=1, le=65_536)
    lr: float = setting(1e-3, "Peak learning rate of AdamW.", gt=0, le=100)
    weight_decay: float = setting(1e-2, "Weight decay, of kernels and not biases.", ge=0, le=100)
    warmup_share: _Share = setting(0.1, "Share of the steps in which the learning rate rises.")
    clip_norm: float = setting(1.0, "Largest norm of the gradient.", gt=0, le=1e9)
    average_decay: _BelowOne = setting(0.99, "Decay of the running average of the weights.")
    freeze_norms_after: _AboveZero = setting(
        1.0, "Share of the epochs after which batch norms are constants."
    )
    half: bool = setting(True, "Whether the head computes in bfloat16 on CUDA.")
    seed: int = setting(0, "Seed of weights, dropout and windows.", ge=0, lt=2**63)
    log_every: int = setting(20, "Steps between two log lines.", ge=1, le=1_000_000_000)
    validate_every: int = setting(5, "Epochs between two validations.", ge=1, le=1_000_000)


class DecodeConfig(_Section):
    """From scores to detections."""

    window_steps: int | None = setting(
        None, "Rows that the head sees at once; null as in training.", ge=2, le=1_000_000
    )
    window_overlap: _BelowOne = setting(0.5, "Share of a window that the next one covers again.")
    class_agreement: Annotated[float, Field(ge=0, le=10)] | Literal["auto"] = setting(
        0.0, "Power of a class's share along a segment, a factor of its score; auto checks if any."
    )
    min_score: _Share = setting(0.001, "Least score of a candidate.")
    max_candidates: int = setting(
        2000, "Most candidates of a video that go into soft-NMS.", ge=1, le=20_000
    )
    nms_sigma: float = setting(0.5, "Width of soft-NMS; less suppresses more.", ge=1e-6, le=1e6)
    voting_tiou: _AboveZero | None = setting(
        None, "Detections become averages with candidates of at least this tIoU; null for none."
    )
    max_detections: int = setting(200, "Most detections of a video.", ge=1, le=20_000)


class EvalConfig(_Section):
    """How detections are measured by default."""

    protocol: Literal["anet", "thumos14"] = setting(
        "anet", "Whose rules of measuring; see docs/evaluation.md."
    )
    tious: tuple[_AboveZero, ...] = setting(
        (0.3, 0.4, 0.5, 0.6, 0.7), "tIoU thresholds of the mAP.", min_length=1, max_length=1000
    )
    exclude: tuple[str, ...] = setting((), "Ids of videos that are left out.")
    precision: float | None = setting(
        None, "Least precision of a training's thresholds on validation; null: best F1.", gt=0, lt=1
    )


class Config(_Section):
    """Everything stage two can be told."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    decode: DecodeConfig = DecodeConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _windows_hold_the_coarsest_level(self) -> Config:
        coarsest = 2 ** (self.model.levels - 1)
        if (self.decode.window_steps or self.data.window_steps) < coarsest:
            raise ValueError(
                f"model.levels={self.model.levels} needs decode.window_steps of {coarsest} or more"
            )
        return self

    @model_validator(mode="after")
    def _one_level_where_the_paper_has_one(self) -> Config:
        model = self.model
        if model.stacked and model.levels > 1:
            raise ValueError("model.stacked needs model.levels=1")
        if model.aggregate and (model.levels > 1 or not model.final_actionness):
            raise ValueError("model.aggregate needs model.levels=1 and model.final_actionness=true")
        alike = model.early_depth == model.final_depth and model.final_actionness
        if model.shared_heads == "stages" and (model.levels > 1 or not alike):
            raise ValueError(
                "model.shared_heads=stages needs model.levels=1, model.final_actionness=true and "
                "model.early_depth equal to model.final_depth"
            )
        return self


def load_config(name_or_path: str, overrides: Iterable[str] = ()) -> Config:
    """Return the defaults, changed by a YAML file and by `section.key=value` strings.

    Args:
        name_or_path: the name of a shipped configuration, or the path of a YAML file; several,
            joined by "+", are read one after another ("strong+thumos14").
        overrides: as given to `--set`; the value is read as YAML.
    Raises:
        InputError: no such configuration; an unknown key (the message names the nearest one); a
            value of the wrong type or out of range.
    """
    settings: dict[str, Any] = {}
    source, overrides = name_or_path, list(overrides)
    for part in [source] if os.path.exists(source) else source.split("+"):
        _merge(settings, _read(part))
    before = deepcopy(settings)
    for override in overrides:
        _override(settings, override)
    try:
        return Config.model_validate(settings)
    except ValidationError as e:
        if overrides:
            parse_config(before, source=source)  # the file's own mistakes are the file's
            source = " ".join(f"--set {o}" for o in _blamed(e, overrides))
        raise InputError(f"{source}: {explain(e, all_keys())}") from None


def parse_config(settings: Mapping[str, Any], *, source: str) -> Config:
    """Return the settings as a Config; see `load_config`."""
    try:
        return Config.model_validate(settings)
    except ValidationError as e:
        raise InputError(f"{source}: {explain(e, all_keys())}") from None


def dump_config(config: Config) -> str:
    """Return the settings as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def explain_config(config: Config) -> str:
    """Return the same YAML with every section's and setting's sentence above it as a comment."""
    lines = []
    for name, section in config:
        lines += [f"# {section.__doc__}", f"{name}:"]
        for key, value in section.model_dump(mode="json").items():
            sentence = type(section).model_fields[key].description
            lines += textwrap.wrap(sentence, 96, initial_indent="  # ", subsequent_indent="  # ")
            in_yaml = yaml.safe_dump([value], default_flow_style=True, width=10_000).strip()
            lines.append(f"  {key}: {in_yaml[1:-1]}")  # without the list's brackets
        lines.append("")
    return "\n".join(lines).strip()


def shipped_configs() -> list[str]:
    """The names of the configurations that come with the package, sorted."""
    folder = resources.files(__package__) / "configs"
    return sorted(f.name[: -len(".yaml")] for f in folder.iterdir() if f.name.endswith(".yaml"))


def all_keys() -> list[str]:
    """Every key, as "section.key"."""
    return [
        f"{section}.{key}"
        for section, field in Config.model_fields.items()
        for key in type(field.default).model_fields
    ]


def _merge(settings: dict[str, Any], later: Mapping[str, Any]) -> None:
    for section, values in later.items():
        if isinstance(values, Mapping) and isinstance(settings.get(section), dict):
            settings[section].update(values)
        else:
            settings[section] = dict(values) if isinstance(values, Mapping) else values


def _read(name_or_path: str) -> dict[str, Any]:
    shipped = shipped_configs()
    path: Any = Path(name_or_path)
    if name_or_path in shipped:
        path = resources.files(__package__) / "configs" / f"{name_or_path}.yaml"
    elif os.path.lexists(path):
        regular_file(path, needs="a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError:
        near = difflib.get_close_matches(name_or_path, shipped, n=1, cutoff=0)
        raise InputError(
            f"{listed([name_or_path])}: neither a file nor a shipped configuration "
            f"({', '.join(shipped)}); did you mean {near[0]!r}?"
        ) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: no configuration is longer than {MAX_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    settings = _parse_yaml(text, at=name_or_path)
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise InputError(f"{name_or_path}: must hold sections ({', '.join(Config.model_fields)})")
    return settings


def _parse_yaml(text: str, *, at: str) -> Any:
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise InputError(f"{at}: lists in lists in lists, too deep to be read") from None
    # Of values that it does not understand, PyYAML passes on what int() or a date says.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as e:
        raise InputError(f"{at}: not YAML ({' '.join(str(e).split()):.300})") from None


def _override(settings: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        near = did_you_mean(key.strip(), all_keys())
        raise InputError(f"--set {listed([override])}: write section.key=value{near}")
    try:
        parsed = _parse_yaml(value, at=key)
    except InputError:
        raise InputError(
            f"--set {listed([override])}: {shown(value)} is not a YAML value; quote it"
        ) from None
    if f"{section}.{name}" not in all_keys():
        near = did_you_mean(f"{section}.{name}", all_keys())
        unknown = shown(f"{section}.{name}")
        raise InputError(f"--set {listed([override])}: unknown key {unknown}{near}")
    if not isinstance(settings.setdefault(section, {}), dict):
        raise InputError(f"section {shown(section)} must hold keys (see `tsatal configs paper`)")
    settings[section][name] = parsed


def _blamed(error: ValidationError, overrides: Sequence[str]) -> Sequence[str]:
    """Return the overrides of the keys that an error names; all where it names none of theirs."""
    wrong = {".".join(map(str, problem["loc"][:2])) for problem in error.errors()}
    return [o for o in overrides if o.partition("=")[0].strip() in wrong] or overrides


def explain(error: ValidationError, keys: Sequence[str]) -> str:
    """One line that names every wrong setting, its range and its value.

    Args:
        error: what pydantic found.
        keys: those that are valid; the nearest is named where one is unknown.
    """
    lines = []
    problems = error.errors(include_url=False)
    for problem in problems[:MAX_PROBLEMS]:
        key = ".".join(str(part) for part in problem["loc"])[:MAX_SHOWN]
        said = problem["msg"].removeprefix("Value error, ")
        rule = said.removeprefix("Input should be ")
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}{did_you_mean(key, keys)}")
        elif not key:  # several settings do not fit together
            lines.append(said)
        elif rule == said:
            lines.append(f"{key}: {said.lower()}, is {shown(problem['input'])}")
        else:
            for theirs, ours in WORDS.items():
                rule = rule.replace(theirs, ours)
            lines.append(f"{key} must be {rule}, is {shown(problem['input'])}")
    more = len(problems) - len(lines)
    return "; ".join([*lines, *([f"and {more} more"] if more else [])])
