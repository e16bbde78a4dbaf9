"""`local.settings.json` and `host.json`: what Core Tools accept is accepted, and what is wrong is named."""

import json
from pathlib import Path

import pytest

from local.settings import APP_DIR, LocalSettings, SettingsError, route_prefix

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
        "ConnectionStrings": {},
        "Host": {"LocalHttpPort": 80, "CORS": "https://a.example", "CORSCredentials": True},
    }
    settings = read(tmp_path, json.dumps(content))
    assert settings.Values == {"A": "b"}
    assert (settings.Host.LocalHttpPort, settings.Host.CORS, settings.Host.CORSCredentials) == (
        80,
        "https://a.example",
        True,
    )
    assert settings.ignored == []


COMMENTED = """{
  // a comment
  "Values": {
    "URL": "http://a.example//b", /* another
    comment, } */
    "TEXT": "a, ] \\" // b",
  },
}"""


def test_comments_and_trailing_commas(tmp_path: Path) -> None:
    assert read(tmp_path, COMMENTED).Values == {"URL": "http://a.example//b", "TEXT": 'a, ] " // b'}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, '{"Values": {"A": "é"}}'.encode(encoding)).Values == {"A": "é"}


def test_values_are_converted_to_text(tmp_path: Path) -> None:
    values = read(tmp_path, '{"Values": {"A": 5, "B": 0.50, "C": true, "D": null, "E": ""}}').Values
    assert values == {"A": "5", "B": "0.50", "C": "True", "E": ""}


def test_the_case_of_the_hosts_keys_is_ignored(tmp_path: Path) -> None:
    settings = read(tmp_path, '{"Host": {"localhttpport": "7072", "Cors": "*"}}')
    assert (settings.Host.LocalHttpPort, settings.Host.CORS, settings.ignored) == (7072, "*", [])


def test_other_keys_are_reported(tmp_path: Path) -> None:
    content = '{"values": {"A": "b"}, "Vaules": {}, "Host": {"LocalHttpAddress": "0.0.0.0"}}'
    assert read(tmp_path, content).ignored == ["Vaules", "values", "Host.LocalHttpAddress"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f"{FILE} is not valid JSON: Expecting value (line 1)."),
        ('{\n// a comment\n"Values": }', f"{FILE} is not valid JSON: Expecting value (line 3)."),
        ("[]", f"{FILE} is not a JSON object."),
        (b"\xff\xfe\x00", f"{FILE} is not valid Unicode."),
        ('{"IsEncrypted": true}', f"{FILE} is encrypted. Decrypt it with: func settings decrypt"),
        ('{"Values": {"A": {}}}', f"Values.A in {FILE} is invalid: Input should be a valid string."),
        ('{"Values": "A"}', f"Values in {FILE} is invalid: Input should be a valid dictionary."),
        ('{"Values": {"A=B": "c"}}', f"'A=B' in {FILE} cannot be an environment variable."),
        ('{"Values": {"": "c"}}', f"'' in {FILE} cannot be an environment variable."),
        ('{"Values": {"A": "\\u0000"}}', f"'A' in {FILE} cannot be an environment variable."),
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


def test_route_prefix(tmp_path: Path) -> None:
    for content, prefix in [
        ('{"version": "2.0"}', "api"),
        ('{"extensions": {"http": {"routePrefix": "/v1/"}}}', "v1"),
        ('{"extensions": {"http": {"routePrefix": ""}}}', ""),
    ]:
        (tmp_path / "host.json").write_text(content)
        assert route_prefix(tmp_path) == prefix


@pytest.mark.parametrize("content", ["", "[]", '{"extensions": []}', '{"extensions": {"http": {"routePrefix": 5}}}'])
def test_an_invalid_host_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "host.json").write_text(content)
    with pytest.raises(SettingsError, match=r"^host\.json is invalid"):
        route_prefix(tmp_path)


def test_the_sample_allows_no_origin_and_has_no_key(tmp_path: Path) -> None:
    sample = read(tmp_path, (APP_DIR / f"{FILE}.sample").read_bytes())
    assert sample.Values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert sample.Host.CORS == ""
    assert sample.ignored == []
    assert not any(value for name, value in sample.Values.items() if name.endswith("KEY"))
