"""Settings: every shipped file loads, order of precedence, and errors that name the nearest key."""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from tsatal import config
from tsatal.config import (
    Config,
    Settings,
    dump_config,
    explain_config,
    load_config,
    parse_config,
)
from tsatal.errors import InputError
from tsatal.exchange.layouts import ImportSettings
from tsatal.extract.settings import ExtractSettings


@pytest.mark.parametrize("name", config.shipped_configs())
def test_every_shipped_configuration_loads(name: str) -> None:
    assert isinstance(load_config(name), Config)


def test_the_defaults_are_the_preset_of_version_0_1() -> None:
    """So a run of that version, whose file lacks later settings, is read as it was trained."""
    assert load_config("paper-0.1") == Config()
    assert load_config("paper") != Config()


def test_every_value_of_paper_says_where_it_is_from() -> None:
    text = (Path(config.__file__).parent / "configs" / "paper.yaml").read_text("utf-8")
    section = ""
    for line in text.splitlines():
        value, _, source = line.partition("#")
        if line and not line.startswith(" "):
            section = source
        elif value.strip():
            assert re.match(r" (open|\d)", source) or "open" in section, line
    for name in ("model", "loss", "decode"):
        # What only several levels have is not there.
        every = set(type(getattr(Config(), name)).model_fields) - {"first_reach", "reach_overlap"}
        assert set(yaml.safe_load(text)[name]) == every


@pytest.mark.parametrize(
    "changes, message",
    [
        (["model.stacked=true"], "model.stacked needs model.levels=1"),
        (["model.aggregate=true"], "model.aggregate needs model.levels=1 and"),
        (["model.shared_heads=stages"], "model.shared_heads=stages needs model.levels=1, "),
    ],
)
def test_what_the_paper_has_on_one_level_is_refused_on_several(
    changes: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_config("strong", changes)


@pytest.mark.parametrize("change", ["early_depth=2", "final_actionness=false"])
def test_stages_that_share_convolutions_must_be_alike(change: str) -> None:
    with pytest.raises(InputError, match="model.early_depth equal to model.final_depth"):
        load_config("paper", ["model.aggregate=false", f"model.{change}"])


def test_shipped_files_are_the_files_in_the_folder() -> None:
    folder = Path(config.__file__).parent / "configs"
    assert config.shipped_configs() == sorted(p.stem for p in folder.iterdir())
    assert {"paper", "thumos14", "activitynet", "demo"} <= set(config.shipped_configs())


def test_command_line_overrides_yaml_overrides_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("optim: {epochs: 7, batch_size: 4}\n")
    loaded = load_config(str(path), ["optim.epochs=9", "model.dilations=[1, 3]"])
    assert (loaded.optim.epochs, loaded.optim.batch_size) == (9, 4)
    assert loaded.model.dilations == (1, 3)
    assert loaded.optim.lr == Config().optim.lr


def test_what_is_dumped_loads_again(tmp_path: Path) -> None:
    changed = load_config("activitynet", ["data.streams=[rgb]", "eval.exclude=[a, b]"])
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(changed))
    assert load_config(str(path)) == changed


@pytest.mark.parametrize(
    "override, message",
    [
        ("optim.epoch=3", "unknown key 'optim.epoch'; did you mean 'optim.epochs'?"),
        ("model.epochs=3", "did you mean 'optim.epochs'?"),
        ("epochs=3", "write section.key=value; did you mean 'optim.epochs'?"),
        ("optim.epochs", "write section.key=value"),
        ("modle.tsa=none", "^--set modle.tsa=none: unknown key .* did you mean 'model.tsa'?"),
        ("optm.epoch=3", "did you mean 'optim.epochs'?"),
        ("tsa=none", "write section.key=value; did you mean 'model.tsa'?"),
        ("modle=none", "did you mean 'model'?"),
        ("q.zzzzzz=1", "unknown key 'q.zzzzzz'$"),
        ("optim.epochs=many", "optim.epochs must be .*integer.*'many'"),
        ("optim.epochs=0", "optim.epochs must be at least 1, is 0"),
        ("model.tsa=on", "model.tsa must be 'hard', 'soft' or 'none'"),
        ("optim.lr=[", "not a YAML value"),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_to_do(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_config("paper", [override])
    assert "\n" not in str(error.value)


def test_a_wrong_name_lists_what_there_is() -> None:
    with pytest.raises(InputError, match=r"papr: neither a file .*thumos14.*did you mean 'paper'"):
        load_config("papr")


@pytest.mark.parametrize("text", ["[1, 2]", "optim: 3", "a: b: c", "optimm: {lr: 1}"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="bad.yaml"):
        load_config(str(path), [])


@pytest.mark.parametrize("name", config.shipped_configs())
def test_what_is_explained_loads_again_and_has_every_sentence(name: str, tmp_path: Path) -> None:
    path, loaded = tmp_path / "mine.yaml", load_config(name, ["eval.exclude=['a: b', '#c', é]"])
    path.write_text(explain_config(loaded))
    assert load_config(str(path)) == loaded
    said = " ".join(path.read_text().replace("  # ", " ").split())
    for section in (type(field.default) for field in Config.model_fields.values()):
        assert str(section.__doc__) in said
        assert all(str(field.description) in said for field in section.model_fields.values())


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Config().optim.epochs = 3  # type: ignore[misc]


def test_every_setting_has_its_sentence() -> None:
    for name, section in Config.model_fields.items():
        assert isinstance(section.default, BaseModel), name
        for key, field in type(section.default).model_fields.items():
            assert field.description and field.description.endswith("."), f"{name}.{key}"


def test_shipped_files_only_use_known_sections() -> None:
    for name in config.shipped_configs():
        text = (Path(config.__file__).parent / "configs" / f"{name}.yaml").read_text()
        assert set(yaml.safe_load(text)) <= set(Config.model_fields)


def test_configurations_are_read_one_after_another() -> None:
    both = load_config("strong+thumos14", ["optim.epochs=7"])
    assert both.model == load_config("strong").model
    assert both.eval == load_config("thumos14").eval
    assert both.optim.epochs == 7
    with pytest.raises(InputError, match="strnog"):
        load_config("paper+strnog")


def test_a_coarsest_level_must_fit_into_the_windows() -> None:
    with pytest.raises(
        InputError, match="--set model.levels=9: .* needs decode.window_steps of 256"
    ):
        load_config("paper-0.1", ["model.levels=9"])
    assert load_config("paper-0.1", ["model.levels=9", "decode.window_steps=256"]).model.levels == 9


@pytest.mark.parametrize(
    "text",
    [
        "optim: {lr: .inf}", "model: {dilations: [0]}", "eval: {tious: [7]}", "model: &m [*m]",
        "optim: {lr: !!timestamp x}", "optim: {lr: !!bool x}", "optim: {lr: 2001-99-99}",
        "optim: {seed: 0x" + "f" * 5000 + "}", "[" * 99_999, "a: " + "x" * 2_000_000,
        "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in pairwise("zabcdefghij"))
        .replace("[*z", "[1").replace("*z", "1"),
        "\n".join(f"key{n}: 1" for n in range(5000)),
    ],
)  # fmt: skip
def test_yaml_that_would_break_what_reads_it_is_one_short_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_config(str(path))
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


def test_a_configuration_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(InputError, match="c.yaml: not a text file in UTF-8"):
        load_config(str(tmp_path / "c.yaml"))


def numbers(model: type[BaseModel]) -> list[str]:
    """Return the names of the fields of a model that are numbers, or may be."""
    wanted = {int, float}
    return [
        name
        for name, field in model.model_fields.items()
        if wanted & {field.annotation, *get_args(field.annotation)}
        or any(wanted & set(get_args(part)) for part in get_args(field.annotation))
    ]


@pytest.mark.parametrize("wrong", [-1, 10**30, 1e300, 1e38, -1e300, float("nan"), float("inf")])
@pytest.mark.parametrize("section", ["data", "model", "loss", "optim", "decode"])
def test_every_number_of_a_section_has_a_range(section: str, wrong: float) -> None:
    names = numbers(type(Config.model_fields[section].default))
    assert len(names) >= 3
    for name in names:
        with pytest.raises(InputError, match=rf"{section}\.{name}"):
            parse_config({section: {name: wrong}}, source="c.yaml")


@pytest.mark.parametrize("wrong", [-1, 10**30, 1e300, 1e38, -1e300, float("nan"), float("inf")])
@pytest.mark.parametrize("settings", [ExtractSettings, ImportSettings])
def test_every_number_of_an_option_has_a_range(settings: type[Settings], wrong: float) -> None:
    names = numbers(settings)
    assert len(names) >= 5
    given = {"format": "npy"} if settings is ImportSettings else {}
    for name in names:
        with pytest.raises(InputError, match=name):
            settings(**given, **{name: wrong})


@pytest.mark.parametrize("path", ["loop.yaml", "pipe.yaml", "/dev/zero", "."])
def test_what_is_no_file_is_not_read(path: str, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match=r"(leads back|where a YAML file is needed)"):
        load_config(str(tmp_path / path))


def test_what_is_wrong_is_blamed_on_where_it_was_written(tmp_path: Path) -> None:
    """On `--set` what `--set` says, on the file what the file says, whatever else is said."""
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text("optim: {lr: 0.1}")
    wrong.write_text("modle: {tsa: none}")
    fine = "optim.epochs=3"
    for file, overrides, blamed in [
        (right, [fine, "optim.lr=-1"], "--set optim.lr=-1: optim.lr must be above 0, is -1"),
        (right, ["model.levels=9", fine], "--set model.levels=9 --set optim.epochs=3: model.leve"),
        (wrong, [fine], f"{wrong}: unknown key 'modle'; did you mean 'model'?"),
        (wrong, [], f"{wrong}: unknown key 'modle'; did you mean 'model'?"),
        (wrong, ["optim.lr=-1"], f"{wrong}: unknown key 'modle'"),
    ]:
        with pytest.raises(InputError) as caught:
            load_config(str(file), overrides)
        assert str(caught.value).startswith(blamed)
