"""What the local host reads: `local.settings.json` and `host.json`, as the real one does."""

import json
import sys
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

APP_DIR = Path(__file__).resolve().parent.parent

MODEL_SETTINGS = ("AZURE_OPENAI_ENDPOINT", "OPENAI_BASE_URL", "OPENAI_API_KEY")
"""Any of them says which model to ask."""


class HostSection(BaseModel):
    """`Host` in `local.settings.json`."""

    LocalHttpPort: int = 7071
    CORS: str = ""
    CORSCredentials: bool = False


class LocalSettings(BaseModel):
    """`local.settings.json`: application settings and the local host's own."""

    model_config = ConfigDict(extra="ignore")

    Values: dict[str, str] = Field(default_factory=dict)
    Host: HostSection = Field(default_factory=HostSection)

    @classmethod
    def read(cls, app_dir: Path) -> Self:
        """The folder's settings, or none if it has no such file."""
        path = app_dir / "local.settings.json"
        try:
            return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()
        except ValidationError as error:
            fault = error.errors()[0]
            sys.exit(f"local.settings.json: {'.'.join(map(str, fault['loc']))}: {fault['msg']}.")


def route_prefix(app_dir: Path) -> str:
    """The route prefix that `host.json` sets: `api` where it says nothing."""
    host: dict[str, Any] = json.loads((app_dir / "host.json").read_text())
    prefix: str = host.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    return prefix.strip("/")
