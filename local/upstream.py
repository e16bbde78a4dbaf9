"""The model server that the service uses."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel

from chat.settings import DEFAULT_MODEL
from local.settings import LocalSettings

_OPENAI = "https://api.openai.com/v1"


class Upstream(BaseModel):
    """A model server. `reason` is a sentence that explains the choice."""

    model: str
    url: str
    """Without credentials."""
    local: bool = False
    """Whether it is the supervisor's own, which may still be loading the model."""
    reason: str


def configured_upstream(settings: LocalSettings, variables: Mapping[str, str]) -> Upstream | None:
    """The model server that the settings and the environment select, with the service's precedence."""
    values = settings.environment(variables)
    if values.get("AZURE_OPENAI_ENDPOINT"):
        url, model = values["AZURE_OPENAI_ENDPOINT"], values.get("AZURE_OPENAI_CHAT_DEPLOYMENT") or "no deployment"
        names = ["AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"]
    elif values.get("OPENAI_BASE_URL") or values.get("OPENAI_API_KEY"):
        url, model = values.get("OPENAI_BASE_URL") or _OPENAI, values.get("OPENAI_MODEL") or DEFAULT_MODEL
        names = ["OPENAI_BASE_URL", "OPENAI_API_KEY"]
    else:
        return None
    origins: dict[str, list[str]] = {}
    for name in names:
        if origin := settings.origin(name, variables):
            origins.setdefault(origin, []).append(name)
    sources = " and ".join(f"{' and '.join(names)} in {origin}" for origin, names in origins.items())
    return Upstream(model=model, url=_without_credentials(url), reason=f"Set by {sources}.")


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an invalid URL"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}" if parts.scheme and host else "an invalid URL"
