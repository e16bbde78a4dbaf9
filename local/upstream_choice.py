"""Which model server `make run` uses: the one that the settings select."""

from collections.abc import Mapping

from pydantic import BaseModel
from yarl import URL

from chat.settings import DEFAULT_MODEL
from local.settings import LocalSettings

_OPENAI = "https://api.openai.com/v1"


class Upstream(BaseModel):
    """A model server. `reason` explains the choice, in a sentence or two."""

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
    reason = f"Set by {' and '.join(f'{" and ".join(names)} in {origin}' for origin, names in origins.items())}."
    if exported := origins.get("the environment"):
        reason += f"\nTo run without: env -u {' -u '.join(exported)} make run"
    return Upstream(model=model, url=_without_credentials(url), reason=reason)


def _without_credentials(url: str) -> str:
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return "an invalid URL"
