"""`octet model`, with a real ONNX file and a real store."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from app.cli.model import model
from model_store.errors import Conflict, InvalidVersion, NotAStore, NotFound
from model_store.manifest import Metadata
from model_store.records import NewVariant, NewVersion
from model_store.store import Store
from tests import graphs

OCTET = Path(sys.executable).with_name("octet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of every command of a test."""
    monkeypatch.setenv("OCTET_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """An ONNX file, [N, 4] -> [N, 2]."""
    return graphs.save(graphs.linear(np.ones((4, 2))), tmp_path / "linear.onnx")


def run(*words: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(model, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def answer(*words: str | Path, status: int = 0) -> Any:
    return json.loads(run(*words, "--json", status=status).stdout)


def test_a_model_from_publish_to_gc(folder: Path, linear: Path, tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"metrics": {"accuracy": 0.985}, "tags": ["[bold]tiny"], "hyperparameters": {"layers": [1]}}')
    out = run("publish", "linear", linear, "--version", "1.0.0", "--metadata", metadata, "--label", "stable").stdout
    assert out.startswith("published linear@1.0.0 (sha256 ")
    assert out.endswith("stable → linear@1.0.0\n")
    assert "already there" not in out
    assert "are there already: linear@1.0.0" in run("publish", "linear", linear, "--version", "1.0.0").stdout
    run("publish", "linear", linear, "--version", "1.10.0")
    run("publish", "linear", linear, "--version", "1.9.0")
    assert run("label", "linear", "1", "canary").stdout == "canary → linear@1.10.0\n"

    listed = run("list").stdout
    assert "1.0.0, 1.9.0, 1.10.0" in listed
    assert "canary → 1.10.0, stable → 1.0.0" in listed
    versions = [line.split()[0] for line in run("show", "linear").stdout.splitlines()[2:]]
    assert versions == ["1.0.0", "1.9.0", "1.10.0"]
    shown = run("show", "linear@1.0.0").stdout
    for fact in ("linear@1.0.0", "x float32 [-1, 4]", "y float32 [-1, 2]", "0.985", "[bold]tiny", "[1]", "stable"):
        assert fact in shown

    assert run("unlabel", "linear", "stable").stdout == "linear@1.0.0 is no longer stable\n"
    assert run("retire", "linear@1.0.0").stdout == "linear@1.0.0 is retired\n"
    assert "retired" in run("show", "linear@1.0.0").stdout
    assert run("gc").stdout == "removed 0 blobs (0 bytes) and 0 leftovers\n"
    assert run("verify").stdout.endswith("no problems\n")
    assert run("rebuild").stdout == "the catalogue has 1 models\n"


def test_the_reading_commands_print_json(folder: Path, linear: Path) -> None:
    run("publish", "Linear", linear, "--version", "1.0.0", "--label", "stable")
    [listed] = answer("list")
    assert listed == answer("show", "Linear")
    assert (listed["name"], listed["labels"]) == ("Linear", {"stable": "1.0.0"})
    [version] = listed["versions"]
    assert version == answer("show", "Linear@1")
    assert version["signature"]["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 4]}]
    assert version["variants"] == [
        {
            "name": "fp32",
            "engine": "onnxruntime",
            "digest": version["digest"],
            "bytes": linear.stat().st_size,
            "accurate": None,
            "min_speedup": 1.0,
            "recipe": None,
        }
    ]
    report = answer("verify")
    assert report == {"versions": 1, "blobs": 1, "bytes": linear.stat().st_size, "findings": []}


def test_variants_are_shown_with_their_verdict_and_dropped(folder: Path, linear: Path) -> None:
    run("publish", "linear", linear, "--version", "1.0.0")
    with Store.open(folder) as store:
        for name, accurate in (("int8", True), ("int4-weight", False), ("fp16", None)):
            recipe = {"method": name}
            new = NewVariant(name, "onnxruntime", linear, {}, recipe, None, None, accurate)
            store.add_variant(store.resolve("linear"), new)
    shown = [
        line.split(maxsplit=1)[1].strip() for line in run("show", "linear@1").stdout.splitlines() if "for onnx" in line
    ]
    size = shown[0].removeprefix("fp32 for onnxruntime, ")
    assert shown == [
        f"fp32 for onnxruntime, {size}",
        f"fp16 for onnxruntime, {size}",
        f"int4-weight for onnxruntime, {size}, refused by the gate",
        f"int8 for onnxruntime, {size}, accurate enough",
    ]
    assert "fp32, fp16, int4-weight, int8" in run("show", "linear").stdout
    assert [(one["accurate"], one["recipe"]) for one in answer("show", "linear@1.0.0")["variants"]] == [
        (None, None), (None, {"method": "fp16"}), (False, {"method": "int4-weight"}), (True, {"method": "int8"}),
    ]  # fmt: skip

    assert run("drop-variant", "linear@1.0.0", "int8").stdout == "int8 of linear@1.0.0 is dropped\n"
    assert "int8" not in run("show", "linear").stdout
    with pytest.raises(NotFound, match="has no variant 'int8'"):
        run("drop-variant", "linear@1.0.0", "int8")
    with pytest.raises(Conflict, match="Retire the version instead"):
        run("drop-variant", "linear@1.0.0", "fp32")
    for target in ("linear@1", "linear"):
        with pytest.raises(InvalidVersion):
            run("drop-variant", target, "fp16")


def test_verify_fails_when_something_is_wrong(folder: Path, linear: Path) -> None:
    run("publish", "linear", linear, "--version", "1.0.0")
    [blob] = (folder / "blobs" / "sha256").iterdir()
    blob.unlink()
    assert f"linear@1.0.0: blob {blob.name} is missing" in run("verify", status=1).stdout
    assert len(answer("verify", status=1)["findings"]) == 1


@pytest.mark.parametrize("command", ["list", "verify", "gc", "rebuild"])
def test_only_publish_makes_a_store(folder: Path, command: str) -> None:
    with pytest.raises(NotAStore, match="there is no store in"):
        run(command)
    assert not folder.exists()


def test_retired_versions_are_still_shown(folder: Path, linear: Path) -> None:
    run("publish", "linear", linear, "--version", "1.0.0")
    run("retire", "linear@1.0.0")
    assert answer("list")[0]["versions"][0]["retired"] is True
    assert answer("show", "linear@1.0.0")["retired"] is True
    with pytest.raises(NotFound):
        run("show", "linear@1")


def test_an_empty_list_says_what_to_do(folder: Path) -> None:
    Store.open(folder).close()
    assert run("list").stdout.startswith("No models in ")
    assert answer("list") == []


def test_the_store_may_be_named_by_a_flag(folder: Path, linear: Path, tmp_path: Path) -> None:
    run("publish", "linear", linear, "--version", "1.0.0", "--store", tmp_path / "other")
    assert [one["name"] for one in answer("list", "--store", tmp_path / "other")] == ["linear"]
    assert not folder.exists()


def test_a_refusal_leaves_the_command_as_the_stores_own_error(folder: Path, linear: Path) -> None:
    run("publish", "linear", linear, "--version", "1.0.0", "--label", "stable")
    with pytest.raises(Conflict, match="carries the label stable"):
        run("retire", "linear@1.0.0")


def test_the_program_prints_one_line_for_an_error(tmp_path: Path) -> None:
    environment = {**os.environ, "OCTET_STORE": str(tmp_path / "none")}
    done = subprocess.run(
        [OCTET, "model", "list"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"octet: there is no store in {tmp_path / 'none'}. Publish a model to make one, or name another folder.\n"
    )


def test_the_program_publishes_and_lists(tmp_path: Path, linear: Path) -> None:
    def octet(*words: str) -> str:
        command = [OCTET, "model", *words, "--store", str(tmp_path / "store")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stderr == ""
        return done.stdout

    octet("publish", "linear", str(linear), "--version", "1.0.0")
    assert octet("list").splitlines()[-1].split()[:2] == ["linear", "1.0.0"]


def test_reading_commands_import_no_runtime(folder: Path, linear: Path) -> None:
    run("publish", "linear", linear, "--version", "1.0.0")
    script = (
        "import sys\nfrom app.cli.model import model\n"
        "print(sorted({'rich', 'sqlalchemy', 'pydantic'} & set(sys.modules)))\n"
        "model(['list'], standalone_mode=False)\n"
        "print(sorted({'alembic', 'fastapi', 'numpy', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("[]", "[]")


def test_a_bar_shows_on_a_terminal_and_only_there(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.onnx"
    source.write_bytes(b"x" * (3 << 20))
    with Store.open(folder) as store:
        store.publish(NewVersion("linear", "1.0.0", source, {}, {}, Metadata()))
    terminal, its_end = os.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm"}
        command = [OCTET, "model", "verify"]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=its_end, text=True, check=True, timeout=60
        )
        shown = os.read(terminal, 1 << 16).decode()
    finally:
        os.close(terminal)
        os.close(its_end)
    assert "verifying" in shown
    assert done.stdout == "1 versions, 1 blobs, 3145728 bytes: no problems\n"
    piped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (piped.stdout, piped.stderr) == (done.stdout, "")
