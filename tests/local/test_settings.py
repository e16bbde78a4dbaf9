"""`local.settings.json` and `host.json`: what Core Tools accept is accepted, and what is wrong is named."""

import json
from pathlib import Path

import pytest

from local.settings import APP_DIR, LocalSettings, SettingsError

FILE = "local.settings.json"


def read(folder: Path, content: str | bytes) -> LocalSettings:
    (folder / FILE).write_bytes(content.encode() if isinstance(content, str) else content)
    return LocalSettings.read(folder)


def test_defaults_without_a_file(tmp_path: Path) -> None:
    settings = LocalSettings.read(tmp_path)
    assert (settings.Values, settings.Host.LocalHttpPort, settings.Host.CORS, settings.ignored) == ({}, 7071, "", [])


def test_reads_values_and_host(tmp_path: Path) -> None:
    content = {
        "IsEncrypted": False,
        "Values": {"A": "b"},
        "Host": {"LocalHttpPort": 80, "CORS": "https://a.example"},
    }
    settings = read(tmp_path, json.dumps(content))
    assert settings.Values == {"A": "b"}
    assert (settings.Host.LocalHttpPort, settings.Host.CORS) == (80, "https://a.example")
    assert settings.ignored == []


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, '{"Values": {"A": "é"}}'.encode("utf-8-sig")).Values == {"A": "é"}


def test_numbers_are_converted_to_text(tmp_path: Path) -> None:
    assert read(tmp_path, '{"Values": {"A": 5, "B": 0.5, "C": ""}}').Values == {"A": "5", "B": "0.5", "C": ""}


def test_other_keys_are_reported(tmp_path: Path) -> None:
    content = '{"values": {"A": "b"}, "Vaules": {}, "Host": {"LocalHttpAddress": "0.0.0.0"}}'
    assert read(tmp_path, content).ignored == ["values", "Vaules", "Host.LocalHttpAddress"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f"{FILE} is invalid: Invalid JSON: EOF while parsing a value at line 1 column 0."),
        ("[]", f"{FILE} is invalid: Input should be an object."),
        (b"\xff\xfe\x00", f"{FILE} is not UTF-8."),
        ('{"Values": {"A": true}}', f"Values.A in {FILE} is invalid: Input should be a valid string."),
        ('{"Values": "A"}', f"Values in {FILE} is invalid: Input should be an object."),
        (
            '{"Host": {"LocalHttpPort": 65536}}',
            f"Host.LocalHttpPort in {FILE} is invalid: Input should be less than or equal to 65535.",
        ),
    ],
)
def test_an_invalid_file_is_named_in_a_sentence(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, content)
    assert str(raised.value) == message


def test_a_file_that_cannot_be_read_is_named_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(SettingsError, match=rf"^{FILE} cannot be read: is a directory\.$"):
        LocalSettings.read(tmp_path)


def test_the_environment_goes_before_the_file_unless_it_is_empty(tmp_path: Path) -> None:
    settings = read(tmp_path, '{"Values": {"A": "file", "B": "file", "C": ""}}')
    variables = {"A": "environment", "B": "", "D": "", "E": "environment"}
    assert settings.environment(variables) == {"A": "environment", "B": "file", "C": "", "D": "", "E": "environment"}
    assert [settings.origin(name, variables) for name in "ABCD"] == ["the environment", FILE, None, None]


def test_the_sample_allows_no_origin_and_has_no_key(tmp_path: Path) -> None:
    sample = read(tmp_path, (APP_DIR / f"{FILE}.sample").read_bytes())
    assert sample.Values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert sample.Host.CORS == ""
    assert sample.ignored == []
    assert not any(value for name, value in sample.Values.items() if name.endswith("KEY"))
