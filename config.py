"""Typed, frozen settings of stage two: defaults, then a YAML file, then `--set key=value`.

The defaults are the preset `paper`. A module of `head/` takes the section that is about it; only
`run`, `training` and `detector` there know the whole.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import MAX_SHOWN, InputError, shown

MAX_BYTES = 1_000_000  # of a YAML file; the reader takes a minute for so much
MAX_PROBLEMS = 5  # named in a message; the rest are counted

_Dilation = Annotated[int, Field(ge=1, le=1024)]
_TIoU = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(_Section):
    """Which features and videos, and how training windows are drawn from them."""

    streams: tuple[Literal["rgb", "flow"], ...] = Field(
        (), description="Feature streams side by side; empty: all that the file has."
    )
    train_subset: str = Field("", description="Subset to train on; empty: found by name.")
    validation_subset: str = Field(
        "", description="Subset watched during training; empty: found by name."
    )
    test_subset: str = Field("", description="Subset of `evaluate`; empty: found by name.")
    window_steps: int = Field(100, ge=2, le=1_000_000, description="Rows in a training window.")
    windows_per_video: int = Field(
        12, ge=1, le=100_000, description="Windows of every video in one epoch."
    )
    min_instance_share: float = Field(
        0.75, gt=0, le=1, description="Share of an action that its window holds at least."
    )
    min_crop: float = Field(
        1.0, gt=0, le=1, description="Windows are cut at random to this share at least."
    )
    min_visible: float = Field(
        0.0, ge=0, le=1, description="Actions are clipped to the window, or dropped if cut to less."
    )


class ModelConfig(_Section):
    """The head."""

    width: int = Field(256, ge=1, le=4096, description="Channels inside the head.")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="Share of input values dropped.")
    channel_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of input channels dropped for a whole window."
    )
    instance_norm: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the embedding normalised within each video; none where videos "
        "hardly differ as a whole.",
    )
    classes: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="Exclusive classes with background, or independent ones."
    )
    tsa: Literal["hard", "soft", "none"] = Field(
        "hard", description="TSA with arg-max or expected condition matrix, or without TSA."
    )
    tsa_threshold: float | None = Field(
        None, ge=0, le=1, description="None: pairs count by 1 - tIoU; else those below it count."
    )
    tsa_reach: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Steps between related steps at most; None: any, at squared cost.",
    )
    tpp: bool = Field(True, description="Whether TPP and the heads behind it are there.")
    pyramid_levels: int = Field(3, ge=0, le=10, description="Halvings in the pyramid of TPP.")
    dilations: tuple[_Dilation, ...] = Field(
        (1, 2, 4), max_length=16, description="Dilated convolutions of TPP."
    )
    levels: int = Field(1, ge=1, le=12, description="Temporal levels with heads of their own.")
    first_reach: float = Field(4.0, gt=0, description="Steps to an end in the first of levels.")
    early_depth: int = Field(1, ge=0, le=4, description="Layers in the heads before TPP.")
    final_depth: int = Field(1, ge=0, le=4, description="Layers in the heads behind TPP.")
    final_actionness: bool = Field(True, description="Whether scores are times an actionness.")
    separable: bool = Field(False, description="Cheaper convolutions behind the embedding.")


class LossConfig(_Section):
    """What the losses weigh: each term with the product of its stage's and its own weight."""

    pre: float = Field(1.0, ge=0, description="Weight of the pre-judgement, before TSA.")
    refined: float = Field(1.0, ge=0, description="Weight of the heads between TSA and TPP.")
    final: float = Field(1.0, ge=0, description="Weight of the heads behind TPP.")
    classes: float = Field(1.0, ge=0, description="Weight of the focal loss (Eq. 5).")
    boundary: float = Field(1.0, ge=0, description="Weight of the DIoU loss (Eq. 6).")
    actionness: float = Field(1.0, ge=0, description="Weight of the actionness loss.")
    focal_gamma: float = Field(2.0, ge=0, description="How much easy steps are discounted.")
    focal_alpha: float = Field(0.5, gt=0, lt=1, description="Weight of action against background.")
    centre_radius: float | None = Field(
        None,
        ge=1,
        description="Strides from an action's centre to points that learn it; None: any.",
    )
    reach_overlap: float = Field(
        1.0,
        ge=1,
        description="How many times its reach a level answers for; the next one does as well.",
    )
    positives_momentum: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Of the running count that losses are divided by.",
    )


class OptimConfig(_Section):
    """The training."""

    epochs: int = Field(20, ge=1, le=1_000_000, description="Passes over the training videos.")
    batch_size: int = Field(
        16, ge=1, le=65_536, description="Windows per optimiser step, of all processes."
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(1e-2, ge=0, description="Decay of kernels, not of biases.")
    warmup_share: float = Field(0.1, ge=0, le=1, description="Share of steps to warm up in.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    average_decay: float = Field(
        0.99, ge=0, lt=1, description="Decay of the weight average, once warm."
    )
    freeze_norms_after: float = Field(
        1.0, gt=0, le=1, description="Share of the epochs after which batch norms are constants."
    )
    half: bool = Field(True, description="On CUDA, compute the head in bfloat16.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of initialisation, dropout and sampling.")
    log_every: int = Field(20, ge=1, description="Steps between two log lines.")
    validate_every: int = Field(5, ge=1, description="Epochs between two validations.")


class DecodeConfig(_Section):
    """From scores to detections."""

    window_steps: int | None = Field(
        None, ge=2, le=1_000_000, description="Rows seen at once; None: as in training."
    )
    window_overlap: float = Field(
        0.5, ge=0, lt=1, description="Share of a test window that the next one covers again."
    )
    class_agreement: float = Field(
        0.0, ge=0, le=10, description="Power of its class's share along a segment in its score."
    )
    min_score: float = Field(0.001, ge=0, le=1, description="Candidates below it are dropped.")
    max_candidates: int = Field(2000, ge=1, description="Candidates of a video before soft-NMS.")
    nms_sigma: float = Field(0.5, gt=0, description="Width of soft-NMS; small suppresses more.")
    voting_tiou: float | None = Field(
        None, gt=0, le=1, description="Average kept segments with candidates this close; None: no."
    )
    max_detections: int = Field(200, ge=1, description="Detections of a video.")


class EvalConfig(_Section):
    """How detections are measured by default."""

    protocol: Literal["anet", "thumos14"] = Field("anet", description="See docs/evaluation.md.")
    tious: tuple[_TIoU, ...] = Field(
        (0.3, 0.4, 0.5, 0.6, 0.7), min_length=1, description="tIoU thresholds."
    )
    exclude: tuple[str, ...] = Field((), description="Video ids left out of the evaluation.")


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


def load_config(name_or_path: str, overrides: Iterable[str] = ()) -> Config:
    """Return the defaults changed by a YAML file and by `section.key=value` strings.

    Args:
        name_or_path: the name of a shipped configuration, or the path of a YAML file; several,
            joined by "+", are read one after another ("strong+thumos14").
        overrides: as given to `--set`; the value is read as YAML.
    Raises:
        InputError: no such configuration; an unknown key (the message names the nearest one); a
            value of the wrong type or out of range.
    """
    settings: dict[str, Any] = {}
    source = name_or_path
    for part in [source] if Path(source).is_file() else source.split("+"):
        _merge(settings, _read(part))
    for override in overrides:
        _override(settings, override)
    return parse_config(settings, source=source)


def parse_config(settings: Mapping[str, Any], *, source: str) -> Config:
    """Return the settings as a Config; see `load_config`."""
    try:
        return Config.model_validate(settings)
    except ValidationError as e:
        raise InputError(f"{source}: {_explain(e)}") from None


def dump_config(config: Config) -> str:
    """Return the settings as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def shipped_configs() -> list[str]:
    """Return the names of the configurations that come with the package."""
    folder = resources.files(__package__) / "configs"
    return sorted(f.name[: -len(".yaml")] for f in folder.iterdir() if f.name.endswith(".yaml"))


def all_keys() -> list[str]:
    """Return every key, as "section.key"."""
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
    if name_or_path in shipped_configs():
        text = (resources.files(__package__) / "configs" / f"{name_or_path}.yaml").read_text()
    else:
        try:
            text = _read_text(Path(name_or_path))
        except OSError:
            near = difflib.get_close_matches(name_or_path, shipped_configs(), n=1, cutoff=0)
            raise InputError(
                f"{name_or_path}: neither a file nor a shipped configuration "
                f"({', '.join(shipped_configs())}); did you mean {near[0]!r}?"
            ) from None
    settings = _parse_yaml(text, at=name_or_path)
    if settings is not None and not isinstance(settings, dict):
        raise InputError(f"{name_or_path}: must hold sections ({', '.join(Config.model_fields)})")
    return settings or {}


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: no configuration is longer than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None


def _parse_yaml(text: str, *, at: str) -> Any:
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise InputError(f"{at}: lists in lists in lists, too deep to be read") from None
    # PyYAML lets pass what int(), a date or a dictionary says to a value it does not understand.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as e:
        raise InputError(f"{at}: not YAML ({' '.join(str(e).split()):.300})") from None


def _override(settings: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot:
        raise InputError(f"--set {override}: write section.key=value{_nearest(key.strip())}")
    try:
        parsed = _parse_yaml(value, at=key)
    except InputError:
        raise InputError(f"--set {override}: {value!r} is not a YAML value") from None
    if not isinstance(settings.setdefault(section, {}), dict):
        raise InputError(f"section {section!r} must hold keys")
    settings[section][name] = parsed


def _explain(error: ValidationError) -> str:
    lines = []
    problems = error.errors(include_url=False)
    for problem in problems[:MAX_PROBLEMS]:
        key = ".".join(str(part) for part in problem["loc"])[:MAX_SHOWN]
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}{_nearest(key)}")
        else:
            value = f", is {shown(problem['input'])}" if key else ""
            said = problem["msg"].lower().removeprefix("value error, ")
            lines.append(f"{key}: {said}{value}".removeprefix(": "))
    more = len(problems) - len(lines)
    return "; ".join([*lines, *([f"and {more} more"] if more else [])])


def _nearest(key: str) -> str:
    """Return "; did you mean ...?" for the valid key most like `key`, in its section or another."""
    last = key.rpartition(".")[2]
    by_last = {k.rpartition(".")[2]: k for k in all_keys()}
    near = difflib.get_close_matches(key, all_keys(), n=1, cutoff=0.7) or [
        by_last[k] for k in difflib.get_close_matches(last, list(by_last), n=1, cutoff=0)
    ]
    return f"; did you mean {near[0]!r}?"
