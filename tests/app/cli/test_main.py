"""The frame of the command line, run as a user runs it."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from app.cli import main as cli
from app.settings import names

HEAVY = ("alembic", "fastapi", "numpy", "onnx", "onnxruntime", "pydantic", "rich", "sqlalchemy", "starlette", "uvicorn")
OCTET = Path(sys.executable).with_name("octet")


def octet(*arguments: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `octet` as a process of its own, in the folder, with none of the caller's OCTET_ variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCTET_")} | variables
    return subprocess.run(
        [OCTET, *arguments],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def imported_by(*arguments: str) -> set[str]:
    """Which of HEAVY a run of `octet ARGUMENTS` has imported when it ends."""
    script = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('IMPORTED', *(m for m in {HEAVY!r} if m in sys.modules)))\n"
        "from app.cli.main import main\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_help_lists_every_command_and_imports_none() -> None:
    assert imported_by("--help") == set()
    listed = octet("--help").stdout
    for name, (_, line) in cli.COMMANDS.items():
        assert f"  {name}" in listed
        assert line in listed


def test_config_imports_no_more_than_the_settings() -> None:
    assert imported_by("config") == {"pydantic"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_where_the_table_says_and_says_the_same_of_itself(name: str) -> None:
    command = cli.octet.get_command(click.Context(cli.octet), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help


def test_version() -> None:
    assert octet("--version").stdout == f"octet {version('octet-serving')}\n"


def test_an_unknown_command_is_a_usage_error_that_lists_the_known() -> None:
    done = octet("confg")
    assert done.returncode == 2
    assert "No such command 'confg'. The commands are: model, quantize, engine, serve, health, config." in done.stderr


def test_what_a_user_can_mend_is_one_line_without_a_traceback() -> None:
    done = octet("config", OCTET_PROT="1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "octet: environment: there is no setting 'OCTET_PROT'; did you mean 'OCTET_PORT'?\n"


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "octet", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_config_prints_every_setting_and_its_source(tmp_path: Path) -> None:
    file = tmp_path / "octet.toml"
    file.write_text("[models.digits]\nthreads = 2\n")
    lines = octet("config", "--port", "99", "--model", "a", "--model", "b", "--config", str(file)).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*names(), "models.digits.threads"]
    assert [line.split(maxsplit=2) for line in lines if "default" not in line] == [
        ["config", str(file), "flag --config"],
        ["port", "99", "flag --port"],
        ["model", "a,b", "flag --model"],
        ["models.digits.threads", "2", f"file {file}"],
    ]


def test_config_prints_json() -> None:
    record = json.loads(octet("config", "--json", OCTET_PORT="0").stdout)
    assert record["port"] == {"value": 0, "source": "environment OCTET_PORT"}
    assert record["store"] == {"value": "store", "source": "default"}
    assert list(record) == names()


@pytest.mark.parametrize(
    ("arguments", "variables", "value", "source"),
    [
        ([], {}, False, "default"),
        (["--shared-memory"], {}, True, "flag --shared-memory"),
        (["--no-shared-memory"], {}, False, "flag --no-shared-memory"),
        ([], {"OCTET_SHARED_MEMORY": "true"}, True, "environment OCTET_SHARED_MEMORY"),
        ([], {"OCTET_SHARED_MEMORY": "0"}, False, "environment OCTET_SHARED_MEMORY"),
        (["--no-shared-memory"], {"OCTET_SHARED_MEMORY": "1"}, False, "flag --no-shared-memory"),
        (["--shared-memory", "--no-shared-memory"], {}, False, "flag --no-shared-memory"),
        (["--config", "on.toml"], {}, True, "file on.toml"),
        (["--config", "on.toml", "--no-shared-memory"], {}, False, "flag --no-shared-memory"),
        (["--config", "on.toml"], {"OCTET_SHARED_MEMORY": "off"}, False, "environment OCTET_SHARED_MEMORY"),
    ],
)
def test_what_is_on_or_off_has_a_flag_for_either(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], value: bool, source: str
) -> None:
    (tmp_path / "on.toml").write_text("shared_memory = true\n")
    record = json.loads(octet("config", "--json", *arguments, folder=tmp_path, **variables).stdout)
    assert record["shared_memory"] == {"value": value, "source": source}


@pytest.mark.parametrize("flag", ["--shared-memory=yes", "--no-shared-memory=1"])
def test_such_a_flag_takes_no_value(flag: str) -> None:
    done = octet("config", flag)
    assert done.returncode == 2
    assert "does not take a value" in done.stderr


def test_config_prints_what_is_on_or_off_as_a_file_would_say_it() -> None:
    lines = octet("config", "--shared-memory").stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("shared_memory")] == [
        ["shared_memory", "true", "flag", "--shared-memory"]
    ]
    assert [line.split() for line in lines if line.startswith("cors")] == [["cors", "false", "default"]]


def test_the_help_of_config_has_a_flag_for_every_setting() -> None:
    shown = " ".join(octet("config", "--help").stdout.split())
    for name in names():
        assert f"--{name.replace('_', '-')} " in shown
        assert f"OCTET_{name.upper()}" in shown


def test_onnx_runtime_sends_no_telemetry_unless_the_user_wishes_it() -> None:
    """Where it would, it tells that it cannot keep its number in a home that is not there."""
    script = (
        "import sys, app.cli.main\n"
        "sys.argv[1:] = ['--version']\n"
        "try: app.cli.main.main()\n"
        "except SystemExit: pass\n"
        "import onnxruntime; onnxruntime.InferenceSession('examples/digits/digits.onnx')\n"
    )
    said = {}
    for wish in ({}, {"ORT_DISABLE_TELEMETRY": "0"}):
        # Nothing of ours: it is silent by itself where it takes the machine for one of continuous integration.
        environment = {"PATH": os.environ["PATH"], "HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"} | wish
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        said[len(wish)] = "telemetry" in done.stderr
    assert said == {0: False, 1: True}
