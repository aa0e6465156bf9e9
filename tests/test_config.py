from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from jobs.cli import EXIT_FAILED, EXIT_OK, EXIT_USAGE, EventLog, run_job
from serve.config import ServeConfig
from spatialcode.config import Bounds, checked, describe, load_config, setting, to_dict
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import ConfigError, InputError
from spatialcode.reasoning.rubric.scoring import RubricConfig

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
@checked
class Model:
    name: str = setting("which weights", "small")
    batch_size: int = setting("frames a batch", 8, at_least=1)
    device: Literal["cpu", "cuda"] = setting("where it runs", "cpu")

    def __post_init__(self) -> None:
        if self.name == "broken":
            raise ValueError("no such weights")


@dataclass(frozen=True)
class Settings:
    inputs: tuple[str, ...] = setting("files or folders")
    output: Path = setting("where results go")
    rate_hz: float = setting("frames a second", 2.0)
    limit: int | None = setting("stop after so many", None)
    share: float | None = setting("of a GPU", 0.5, auto=True)
    model: Model = setting("the encoder", default_factory=Model)
    extra: dict[str, Any] = field(default_factory=dict)


NOT_JOBS = {"__init__", "cli", "progress"}
GIVEN = ("inputs=a.mp4", "output=out")


def yaml_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return path


def test_later_layers_win_and_the_rest_keeps_its_default(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "rate_hz: 4\nmodel:\n  batch_size: 16\n  device: cuda\n")
    config = load_config(Settings, path, [*GIVEN, "model.batch_size=32"])
    assert config == Settings(
        inputs=("a.mp4",),
        output=Path("out"),
        rate_hz=4.0,
        model=Model(name="small", batch_size=32, device="cuda"),
    )
    assert isinstance(config.inputs, tuple)
    assert isinstance(config.model, Model)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("inputs=[a.mp4,b c.mp4]", ("a.mp4", "b c.mp4")),
        ("inputs=1e5", ("1e5",)),
        ("inputs=x: y=z.mp4", ("x: y=z.mp4",)),
    ],
)
def test_text_settings_keep_their_text(argument: str, expected: tuple[str, ...]) -> None:
    assert load_config(Settings, None, ["output=o", argument]).inputs == expected


def test_null_and_free_form_groups() -> None:
    config = load_config(Settings, None, [*GIVEN, "limit=3", "limit=null", "extra={depth: 2}"])
    assert config.limit is None
    assert config.extra == {"depth": 2}


@pytest.mark.parametrize("word", ["auto", "null"])
def test_a_choice_that_is_left_to_the_program(tmp_path: Path, word: str) -> None:
    assert load_config(Settings, None, GIVEN).share == 0.5
    assert load_config(Settings, None, [*GIVEN, "share=0.25"]).share == 0.25
    assert load_config(Settings, None, [*GIVEN, f"share={word}"]).share is None
    assert load_config(Settings, yaml_file(tmp_path, f"share: {word}\n"), GIVEN).share is None


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["limit=auto"], ["limit", "auto"]),
        (["share=automatic"], ["share", "automatic"]),
        (["rate_hzz=1"], ["unknown key 'rate_hzz'", "did you mean 'rate_hz'"]),
        (["model.batchsize=1"], ["'model.batchsize'", "'model.batch_size'"]),
        (["batch_size=1"], ["unknown key 'batch_size'", "did you mean 'model.batch_size'"]),
        (["zzz=1"], ["unknown key 'zzz'", "known keys: inputs, output, rate_hz"]),
        (["rate_hz=fast"], ["rate_hz", "fast", "Float"]),
        (["limit=2.5"], ["limit", "2.5"]),
        (["model.batch_size=0"], ["model.batch_size: expected at least 1, got 0"]),
        (["model.name=broken"], ["model: no such weights"]),
        (["model.device=tpu"], ["model.device", "tpu", "cuda"]),
        (["model=small"], ["model", "group", "model.name"]),
        (["rate_hz"], ["key=value", "'rate_hz'"]),
        (["model.batch_size=null"], ["model.batch_size", "None"]),
        (["extra={a: "], ["extra", "not valid"]),
    ],
)
def test_each_mistake_names_its_key(arguments: list[str], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Settings, None, [*GIVEN, *arguments])
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_many_keys_only_the_nearest_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        make_encoder("small", {"fusion": {"voxel_m": 0.1}})
    said = str(caught.value)
    assert said.startswith(
        "encoder.settings: unknown key 'fusion' in encoder.settings; the nearest"
    )
    assert said.count(",") == 4
    assert len(said) < 250


def test_missing_values_are_all_named() -> None:
    with pytest.raises(ConfigError, match=r"missing value: inputs=.*files or folders.*; output="):
        load_config(Settings)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rate_hz: [1\n", "not valid YAML"),
        ("- a\n- b\n", "key: value"),
        ("rate_hz: 1\nrate_hz: 2\n", "duplicate key"),
        ("rate: 1\n", "unknown key 'rate'"),
        ("rate_hz: ${nowhere}\n", "nowhere"),
        ("model: 3\n", "group"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Settings, yaml_file(tmp_path, text), GIVEN)
    assert part in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        load_config(Settings, tmp_path / "nowhere.yaml", GIVEN)


def test_help_lists_every_key_with_default_type_and_doc() -> None:
    text = describe(Settings)
    for line in ("inputs=… [required]", "rate_hz=2.0", "limit=null", "model.batch_size=8"):
        assert line in text
    assert "frames a batch (int, at least 1)" in text
    assert "of a GPU (float | auto)" in text


def test_to_dict_is_json() -> None:
    config = load_config(Settings, None, GIVEN)
    assert json.loads(json.dumps(to_dict(config), default=str))["model"]["batch_size"] == 8


def run(work: Any, *arguments: str) -> int:
    return run_job("sample", Settings, work, "A sample.", [*GIVEN, *arguments])


def test_exit_code_follows_the_report(tmp_path: Path) -> None:
    log_path = tmp_path / "log" / "events.jsonl"

    def work(config: Settings, log: EventLog) -> bool:
        log.event("progress", done=3, path=config.output)
        return config.rate_hz > 1

    assert run(work, f"log={log_path}") == EXIT_OK
    assert run(work, f"log={log_path}", "rate_hz=0.5") == EXIT_FAILED
    events = [json.loads(line) for line in log_path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "progress", "end"] * 2
    assert [event["exit_code"] for event in events if event["event"] == "end"] == [0, 1]


def test_wrong_arguments_give_two_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def work(config: Settings, log: EventLog) -> bool:
        raise AssertionError("must not run")

    assert run(work, "nope=1") == EXIT_USAGE
    error = capsys.readouterr().err
    assert "unknown key 'nope'" in error
    assert "Traceback" not in error


def test_errors_of_the_library_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(config: Settings, log: EventLog) -> bool:
        raise InputError("no such folder: x")

    assert run(work, f"log={tmp_path / 'log'}") == EXIT_FAILED
    assert "no such folder: x" in capsys.readouterr().err
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert last["error_code"] == "input"


def test_bugs_keep_their_traceback() -> None:
    def work(config: Settings, log: EventLog) -> bool:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run(work)


#: Settings that are no job's.
OTHER_SETTINGS: dict[str, type[Any]] = {
    "rubric": RubricConfig,
    "serve": ServeConfig,
    "serve-gpu": ServeConfig,
}


def jobs_with_settings() -> list[str]:
    names = [path.stem for path in sorted((ROOT / "jobs").glob("*.py"))]
    return [name for name in names if name not in NOT_JOBS]


def job_of(yaml_path: Path) -> str:
    """``encode-cluster.yaml``, ``encode.yaml`` and ``encode/any.yaml`` belong to ``encode``."""
    folder = yaml_path.parent.name
    told = yaml_path.stem if folder == "configs" else folder
    fitting = [name for name in jobs_with_settings() if told.startswith(name)]
    assert fitting, f"no job for {yaml_path.name}"
    return max(fitting, key=len)


@pytest.mark.parametrize(
    "yaml_path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_yaml_loads(yaml_path: Path) -> None:
    schema = OTHER_SETTINGS.get(yaml_path.stem)
    schema = schema or importlib.import_module(f"jobs.{job_of(yaml_path)}").main.args[1]
    with_values = [f"{key}=given" for key in _required(schema)]
    assert isinstance(load_config(schema, yaml_path, with_values), schema)


def _required(schema: type[Any]) -> list[str]:
    lines = [line.strip() for line in describe(schema).splitlines()]
    return [line.split("=")[0] for line in lines if "[required]" in line]


@pytest.mark.parametrize("name", jobs_with_settings())
def test_help_of_every_job_is_quick_and_light(name: str) -> None:
    start_s = time.process_time()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"jobs.{name}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m jobs.{name}" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "spatialcode.config" in loaded
    assert not loaded & {"torch", "ray", "av", "cv2", "scipy"}
    assert time.process_time() - start_s < 2


@dataclass(frozen=True)
@checked
class Bounded:
    share: float = setting("a share", 0.5, at_least=0, at_most=1)
    decay: float = setting("a decay", 0.9, at_least=0, below=1)
    rate: float | None = setting("a rate", None, above=0)
    kind: str | None = setting("a kind", None, one_of=("a", "b"))
    ports: tuple[int, ...] = setting("ports", (443,), at_least=1, at_most=65535)
    least: int = setting("at least as many as ports", 1)

    def __post_init__(self) -> None:
        if self.least < len(self.ports):
            raise ConfigError(f"least: expected at least {len(self.ports)}, got {self.least}")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("share=1.5", "share: expected between 0 and 1, got 1.5"),
        ("share=-0.1", "share: expected between 0 and 1, got -0.1"),
        ("share=nan", "share: expected between 0 and 1, got nan"),
        ("decay=1", "decay: expected at least 0 and less than 1, got 1.0"),
        ("rate=0", "rate: expected more than 0, got 0.0"),
        ("kind=c", "kind: expected one of a, b, got 'c'"),
        ("ports=[1,0]", "ports: expected between 1 and 65535, got 0"),
        ("least=0", "least: expected at least 1, got 0"),
    ],
)
def test_bounds_hold_however_settings_are_made(argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(Bounded, None, [argument])
    config = load_config(Bounded, None, [])
    assert config == Bounded(0.5, 0.9, None, None, (443,), 1)
    with pytest.raises(ConfigError, match="share: expected between 0 and 1"):
        replace(config, share=2)


def test_help_shows_bounds() -> None:
    lines = [line.strip() for line in describe(Bounded).splitlines()]
    assert lines[1].endswith("a decay (float, at least 0 and less than 1)")
    assert lines[3].endswith("a kind (str | None, one of a, b)")
    assert lines[5].endswith("at least as many as ports (int)")


def test_no_class_states_bounds_that_nothing_checks() -> None:
    """Bounds bind only under `checked`: every class that states some stands under it."""
    folders = ("spatialcode", "cluster", "pipelines", "serve", "jobs")
    found, unchecked = 0, []
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            calls = [field.value for field in node.body if isinstance(field, ast.AnnAssign)]
            named = {word.arg for call in calls if isinstance(call, ast.Call)
                     for word in call.keywords}  # fmt: skip
            if named & {field.name for field in fields(Bounds)}:
                found += 1
                decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
                if "checked" not in decorators or decorators.index("checked") == 0:
                    unchecked.append(f"{path.name}: {node.name}")
    assert found >= 8
    assert not unchecked
