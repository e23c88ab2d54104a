"""Where a setting comes from, which source wins, and what is said when one is wrong."""

from pathlib import Path

import pytest

from app.settings import ModelSettings, Settings, SettingsError, load_settings, names, origins


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in names():
        monkeypatch.delenv(f"OCTET_{name.upper()}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "octet.toml"
    path.write_text("port = 1\nqueue_rows = 10\n[models.Digits]\nmax_batch_rows = 8\nthreads = 2\n")
    return path


def refusal(flags: dict[str, object]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    return str(caught.value)


def test_flags_win_over_variables_those_over_the_file_that_over_the_defaults(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings({}).port == 8080
    assert load_settings({"config": str(file)}).port == 1
    monkeypatch.setenv("OCTET_PORT", "2")
    assert load_settings({"config": str(file)}).port == 2
    settings = load_settings({"config": str(file), "port": "3"})
    assert (settings.port, settings.queue_rows, settings.max_batch_rows) == (3, 10, 64)


def test_origins_name_the_source_of_what_is_not_a_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTET_PORT", "2")
    monkeypatch.setenv("OCTET_CONFIG", str(file))
    assert origins({"host": "::1"}) == {
        "config": "environment OCTET_CONFIG",
        "host": "flag --host",
        "port": "environment OCTET_PORT",
        "queue_rows": f"file {file}",
        "models": f"file {file}",
        "models.Digits.max_batch_rows": f"file {file}",
        "models.Digits.threads": f"file {file}",
    }


@pytest.mark.parametrize("name", ["Digits", "digits", "DIGITS"])
def test_a_model_has_its_own_settings_over_the_shared_ones_whatever_the_case(file: Path, name: str) -> None:
    settings = load_settings({"config": str(file), "threads": "4"})
    assert settings.for_model(name) == ModelSettings(max_batch_rows=8, queue_rows=10, threads=2)
    assert settings.for_model("other") == ModelSettings(queue_rows=10, threads=4)


def test_a_models_own_default_value_still_wins_over_the_shared_one(tmp_path: Path) -> None:
    path = tmp_path / "octet.toml"
    path.write_text("max_batch_rows = 8\n[models.digits]\nmax_batch_rows = 64\n")
    assert load_settings({"config": str(path)}).for_model("digits").max_batch_rows == 64


def test_names_of_models_come_as_a_list_or_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({"model": ("a", "b")}).model == ("a", "b")
    monkeypatch.setenv("OCTET_MODEL", "digits, other,")
    assert load_settings({}).model == ("digits", "other")


@pytest.mark.parametrize("text", ["maybe", "2", ""])
def test_what_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("OCTET_SHARED_MEMORY", text)
    assert refusal({}).startswith(
        f"environment OCTET_SHARED_MEMORY: shared_memory is '{text}'; it should be a valid bool"
    )


@pytest.mark.parametrize("text", ["3,2,1", "a,b,c", "1,2", "0,1,2", "1,2,3,4", ""])
def test_lengths_are_three_ascending_numbers(text: str) -> None:
    assert load_settings({"tensorrt_lengths": "1, 128,512"}).for_model("any").tensorrt_lengths == (1, 128, 512)
    assert refusal({"tensorrt_lengths": text}) == (
        f"flag --tensorrt-lengths: tensorrt_lengths is {text!r}; "
        "it should be three ascending numbers from 1, such as 1,128,512"
    )


def test_where_tools_are_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTET_TOOLS", "elsewhere")
    assert load_settings({}) == Settings()


def test_a_size_may_have_a_unit() -> None:
    assert load_settings({"max_body_bytes": "2MiB"}).max_body_bytes == 2 << 20
    assert load_settings({"max_body_bytes": "70000"}).max_body_bytes == 70_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stroe = 'x'", "there is no setting 'stroe'; did you mean 'store'?"),
        ("zzz = 1", "there is no setting 'zzz'; known are config, store, host, "),
        ("[models.digits]\nmax_batch = 1", "no setting 'max_batch' in [models.digits]; did you mean 'max_batch_rows'?"),
        ("[models.digits]\nthreads = 0", "models.digits.threads is 0; it should be greater than or equal to 1"),
        ("[models.a]\n[models.A]", "two tables name the same model"),
        ("[[models.a]]\nthreads = 1", "models.a is [{'threads': 1}]; it should be a valid dictionary"),
        ("port = 'http'", "port is 'http'; it should be a valid integer"),
        ("shared_memory = 2", "shared_memory is 2; it should be a valid boolean"),
        ("[models.a]\nshared_memory = true", "there is no setting 'shared_memory' in [models.a]"),
        ("config = 'other.toml'", "'config' has no place in a settings file; use --config"),
        ("port = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "octet.toml"
    path.write_text(text)
    said = refusal({"config": str(path)})
    assert message in said
    assert f"file {path}" in said


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal({"config": str(tmp_path / "no.toml")}).endswith("no.toml cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OCTET_PROT", "environment: there is no setting 'OCTET_PROT'; did you mean 'OCTET_PORT'?"),
        ("OCTET_MODELS", "environment: there is no setting 'OCTET_MODELS'; did you mean 'OCTET_MODEL'?"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setenv(name, "1")
    assert refusal({}) == message


def test_every_fault_gets_its_line_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTET_LOG_LEVEL", "loud")
    assert refusal({"port": "65536"}).splitlines() == [
        "flag --port: port is '65536'; it should be less than or equal to 65535",
        "environment OCTET_LOG_LEVEL: log_level is 'loud'; it should be 'debug', 'info', 'warning' or 'error'",
    ]


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
