"""What the local host reads: `local.settings.json`, as Core Tools read it, and `host.json`."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError

APP_DIR = Path(__file__).resolve().parent.parent

MODEL_SETTINGS = ("AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_KEY")
"""Each of them selects a model server; the first that is set is used."""

_FILE = "local.settings.json"
_KEYS = {"IsEncrypted", "Values", "ConnectionStrings", "Host"}
_IGNORED_BY_JSON = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)


class SettingsError(Exception):
    """A file is invalid; the message is a sentence that names it."""


class HostSection(BaseModel):
    """`Host` in `local.settings.json`. `CORS` is a list of origins, separated by commas, or `*`."""

    LocalHttpPort: int = Field(7071, ge=0, le=65535)
    CORS: str = ""
    CORSCredentials: bool = False


class LocalSettings(BaseModel):
    """`local.settings.json`: the application settings, and the local host's own."""

    Values: dict[str, str] = Field(default_factory=dict)
    Host: HostSection = Field(default_factory=HostSection)
    ignored: list[str] = Field(default_factory=list)
    """The file's keys that mean nothing here; `Values` may be misspelled."""

    @classmethod
    def read(cls, app_dir: Path) -> Self:
        """The folder's settings, or the defaults if it has no such file; raises `SettingsError`."""
        path = app_dir / _FILE
        if not path.exists():
            return cls()
        content = _parse(path)
        if content.get("IsEncrypted") is True:
            raise SettingsError(f"{_FILE} is encrypted. Decrypt it with: func settings decrypt")
        values, host = content.get("Values") or {}, content.get("Host") or {}
        ignored = sorted(content.keys() - _KEYS)
        if isinstance(values, dict):
            # As Newtonsoft.Json converts them: a boolean becomes its text, and null is no value.
            values = {name: str(value) if value is True or value is False else value for name, value in values.items()}
            values = {name: value for name, value in values.items() if value is not None}
        if isinstance(host, dict):
            fields = {name.lower(): name for name in HostSection.model_fields}
            ignored += sorted(f"Host.{name}" for name in host if name.lower() not in fields)
            host = {fields.get(name.lower(), name): value for name, value in host.items()}
        try:
            settings = cls.model_validate({"Values": values, "Host": host, "ignored": ignored})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise SettingsError(f"{name} in {_FILE} is invalid: {first['msg']}.") from None
        for name, value in settings.Values.items():
            if not name or "=" in name or "\0" in name + value:
                raise SettingsError(f"{name!r} in {_FILE} cannot be an environment variable.")
        return settings

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """These variables, and the file's values for those that are not set or empty."""
        return {**self.Values, **{name: value for name, value in variables.items() if value or name not in self.Values}}

    def origin(self, name: str, variables: Mapping[str, str]) -> str | None:
        """Where `environment` takes a setting from; nothing if it has no value."""
        if variables.get(name):
            return "the environment"
        return _FILE if self.Values.get(name) else None


def route_prefix(app_dir: Path) -> str:
    """The route prefix that `host.json` sets, `api` by default; raises `SettingsError`."""
    try:
        host: dict[str, Any] = json.loads((app_dir / "host.json").read_bytes())
        prefix: str = host.get("extensions", {}).get("http", {}).get("routePrefix", "api")
        return prefix.strip("/")
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(f"host.json is invalid: {error}.") from None


def _parse(path: Path) -> dict[str, Any]:
    """JSON with comments and trailing commas, in any Unicode encoding with a byte order mark; numbers as their text."""
    try:
        data = path.read_bytes()
        text = data.decode(json.detect_encoding(data))
        text = _IGNORED_BY_JSON.sub(lambda match: match[0] if match[0][0] == '"' else re.sub(r"[^\n]", " ", match[0]), text)
        content = json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path.name} is not valid JSON: {error.msg} (line {error.lineno}).") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path.name} is not valid Unicode.") from None
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be read: {os.strerror(error.errno or 0).lower()}.") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name} is not a JSON object.")
    return content
