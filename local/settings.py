"""`local.settings.json`, the file in which Core Tools keep the settings of an app on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, ValidationError

APP_DIR = Path(__file__).resolve().parent.parent

MODEL_SETTINGS = ("AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_KEY")
"""Each of them selects a model server; the first that is set is used."""

_FILE = "local.settings.json"


class SettingsError(Exception):
    """The file is invalid; the message is a sentence that names it."""


class HostSection(BaseModel, extra="allow"):
    """`Host` in the file. `CORS` is a list of origins, separated by commas, or `*`."""

    LocalHttpPort: int = Field(7071, ge=0, le=65535)
    CORS: str = ""


class LocalSettings(BaseModel, extra="allow", coerce_numbers_to_str=True):
    """The application settings, and the local host's own."""

    IsEncrypted: bool = False
    Values: dict[str, str] = Field(default_factory=dict)
    Host: HostSection = Field(default_factory=HostSection)

    @classmethod
    def read(cls, app_dir: Path) -> Self:
        """The folder's settings, or the defaults if it has no such file; raises `SettingsError`."""
        path = app_dir / _FILE
        if not path.exists():
            return cls()
        try:
            return cls.model_validate_json(path.read_text("utf-8-sig"))
        except ValidationError as error:
            first = error.errors()[0]
            place = f"{'.'.join(map(str, first['loc']))} in {_FILE}" if first["loc"] else _FILE
            raise SettingsError(f"{place} is invalid: {first['msg']}.") from None
        except OSError as error:
            raise SettingsError(f"{_FILE} cannot be read: {os.strerror(error.errno or 0).lower()}.") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{_FILE} is not UTF-8.") from None

    @property
    def ignored(self) -> list[str]:
        """The file's keys that mean nothing here; `Values` may be misspelled."""
        return [*(self.model_extra or ()), *(f"Host.{name}" for name in self.Host.model_extra or ())]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """These variables, and the file's values for those that are not set or empty."""
        return {**self.Values, **{name: value for name, value in variables.items() if value or name not in self.Values}}

    def origin(self, name: str, variables: Mapping[str, str]) -> str | None:
        """Where `environment` takes a setting from; nothing if it has no value."""
        if variables.get(name):
            return "the environment"
        return _FILE if self.Values.get(name) else None
