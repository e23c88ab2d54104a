"""`octet engine` as a user types it, with the real TensorRT-RTX of `build/tools/tensorrt`."""

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from app.cli.main import octet
from engines.errors import LoadError, ModelFileError
from engines.onnx_file import read_onnx
from engines.quantize.open_rows import open_rows
from engines.quantize.recipe import Options, Source
from engines.quantize.recipes import RECIPES
from engines.quantize.rows import RowsSpec
from model_store.errors import NotFound
from model_store.records import NewVariant
from model_store.store import Store
from tests.graphs import identity, model, node, save, value

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The digits model as two recipes make it: one for processors, one for TensorRT."""
    source = Source(DIGITS / "digits.onnx", read_onnx(DIGITS / "digits.onnx").signature)
    rows = open_rows(RowsSpec(str(DIGITS / "calibration.npz"), most_rows=20, seed=0), source.signature)
    recipes = {recipe.name: recipe for recipe in RECIPES}
    return {
        name: recipes[name].make(source, rows, tmp_path_factory.mktemp(name), Options(), lambda what, done: None).main
        for name in ("int8", "int8-tensorrt")
    }


@pytest.fixture
def folder(made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of every command of a test: digits in FP32, and as the recipes make it."""
    folder = tmp_path / "store"
    monkeypatch.setenv("OCTET_STORE", str(folder))
    assert publish("digits", DIGITS / "digits.onnx").exit_code == 0
    with Store.open(folder) as store:
        record = store.resolve("digits")
        for name, path in made.items():
            store.add_variant(record, NewVariant(name, "onnxruntime", path, {}, {}, None, None, accurate=True))
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(octet, words)


def publish(name: str, file: Path) -> Result:
    return run("model", "publish", name, str(file), "--version", "1.0.0")


def test_every_variant_of_a_version_is_checked(folder: Path) -> None:
    done = run("engine", "check", "digits@1.0.0")
    assert done.exit_code == 1
    taken, refused, *why, symmetric = done.stdout.splitlines()
    assert taken.startswith("digits@1.0.0 fp32: tensorrt-rtx 1.")
    assert taken.endswith(" takes it: 6 products in fp32")
    assert refused.startswith("digits@1.0.0 int8: tensorrt-rtx 1.")
    assert refused.endswith(" refuses it")
    assert [line[:7] for line in why] == ["  node "] * 2
    assert symmetric.endswith(" takes it: 6 products in int8")


def test_one_variant_is_checked(folder: Path) -> None:
    done = run("engine", "check", "digits", "--variant", "int8-tensorrt", "--json")
    assert done.exit_code == 0
    (one,) = json.loads(done.stdout)
    assert one["model"] == "digits@1.0.0 int8-tensorrt"
    assert one["taken"] is True
    assert one["refusals"] == []
    assert one["target"]["module"] == "tensorrt_rtx"
    assert set(one["precisions"].values()) == {"int8"}


def test_a_file_is_checked_without_a_store(tmp_path: Path) -> None:
    done = run("engine", "check", str(DIGITS / "digits.onnx"), "--store", str(tmp_path / "none"))
    assert done.exit_code == 0
    assert done.stdout.endswith(" takes it: 6 products in fp32\n")
    made = model([node("Unique", ["x"], ["y"], name="only")], [value("x")], [value("y", shape=(None,))])
    done = run("engine", "check", str(save(made, tmp_path / "unique.onnx")), "--json")
    assert done.exit_code == 1
    (one,) = json.loads(done.stdout)
    assert one["taken"] is False
    assert one["refusals"] == [
        {
            "node": "only",
            "operator": "Unique",
            "reason": "TensorRT has no such operator",
            "mends": "serve it with ONNX Runtime, or export the model otherwise",
        }
    ]


def test_what_must_be_set_to_build_it_is_told(tmp_path: Path) -> None:
    path = save(identity("float32", ("N", "words")), tmp_path / "words.onnx")
    done = run("engine", "check", str(path))
    assert done.exit_code == 0
    assert "\n  axis 1 of input 'x' is dynamic" in done.stdout
    assert "set tensorrt_lengths" in done.stdout


def test_a_file_that_is_not_there_is_no_name_of_a_model(folder: Path) -> None:
    assert isinstance(run("engine", "check", "nothing.onnx").exception, ModelFileError)
    assert isinstance(run("engine", "check", "nothing").exception, NotFound)


def test_a_variant_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    error = run("engine", "check", "digits", "--variant", "int4").exception
    assert isinstance(error, LoadError)
    assert str(error).endswith("those of ONNX are: fp32, int8, int8-tensorrt")


def test_plans_are_built_listed_and_pruned(folder: Path) -> None:
    assert json.loads(run("engine", "list", "--json").stdout) == []
    done = run("engine", "build", "digits@1.0.0")
    assert done.exit_code == 1, "int8 is refused"
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "digits@1.0.0 fp32",
        "digits@1.0.0 int8-tensorrt",
    ]
    assert "digits@1.0.0 int8: TensorRT refuses the model: node '0.weight_bias_DequantizeLinear'" in done.stderr
    listed = json.loads(run("engine", "list", "--json").stdout)
    by_model = {one["model"]: one for one in listed}
    assert by_model.keys() == {"digits@1.0.0 fp32", "digits@1.0.0 int8-tensorrt"}
    settings = {name: one["made"]["settings"] for name, one in by_model.items()}
    assert [settings[name]["tf32"] for name in sorted(settings)] == [False, True]
    assert settings["digits@1.0.0 fp32"]["rows"] == {"least": 1, "usual": 64, "most": 64}
    assert run("engine", "prune").stdout == "removed 0 plans (0 bytes)\n"
    assert run("model", "drop-variant", "digits@1.0.0", "int8-tensorrt").exit_code == 0
    assert "(gone)" in run("engine", "list").stdout
    assert run("engine", "prune").stdout.startswith("removed 1 plans (")
    (left,) = json.loads(run("engine", "list", "--json").stdout)
    assert left == by_model["digits@1.0.0 fp32"]


def test_a_plan_is_built_with_the_settings_of_the_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "octet.toml").write_text("max_batch_rows = 4\n[models.digits]\ntensorrt_level = 1\n")
    monkeypatch.setenv("OCTET_TENSORRT_WORKSPACE_BYTES", "1GiB")
    words = ("engine", "build", "digits", "--variant", "fp32", "--config", str(tmp_path / "octet.toml"))
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    (plan,) = json.loads(run("engine", "list", "--json").stdout)
    assert plan["made"]["settings"] == {
        "rows": {"least": 1, "usual": 4, "most": 4},
        "lengths": None,
        "workspace_bytes": 1 << 30,
        "optimization_level": 1,
        "tf32": False,
    }
    assert run(*words).stdout == done.stdout, "it is found, not built again"


def test_the_external_data_of_a_model_is_part_of_what_names_its_plan(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "beside.onnx"
    onnx.save(onnx.load(DIGITS / "digits.onnx"), path, save_as_external_data=True, location="w.bin")
    assert publish("beside", path).exit_code == 0
    assert run("engine", "build", "beside").exit_code == 0
    (plan,) = json.loads(run("engine", "list", "--json").stdout)
    assert plan["model"] == "beside@1.0.0 fp32"


def test_without_tensorrt_it_is_said_where_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTET_TOOLS", str(tmp_path))
    error = run("engine", "check", "digits").exception
    assert isinstance(error, LoadError)
    assert "install tensorrt or tensorrt-rtx beside Octet, or set up the latter by `make tools`" in str(error)
