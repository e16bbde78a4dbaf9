"""Authentication with Azure OpenAI without a key: one token of Microsoft Entra ID, renewed before it expires."""

import asyncio
import re
from time import time

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    ChainedTokenCredential,
    ManagedIdentityCredential,
)

from chat.errors import UpstreamError
from chat.settings import Settings

_SCOPE = "https://cognitiveservices.azure.com/.default"

_TOKEN = re.compile(r"[!-~]+")

_RENEWAL_SECONDS = 600
"""How long before a token expires the next one is fetched, in the background."""

_MIN_VALID_SECONDS = 30
"""A token that is valid for less may expire before it arrives, and is not used."""


def make_credential(settings: Settings) -> AsyncTokenCredential:
    """The app's managed identity on Azure; on a developer's machine, whoever is signed in with `azd` or `az`."""
    if settings.azure_client_id or settings.identity_endpoint:
        return ManagedIdentityCredential(client_id=settings.azure_client_id)
    tenant = settings.azure_tenant_id or ""
    return ChainedTokenCredential(AzureDeveloperCliCredential(tenant_id=tenant), AzureCliCredential(tenant_id=tenant))


class TokenProvider:
    """An async callable that returns a valid token, for the OpenAI SDK's `api_key`.

    One fetch serves all requests that wait for a token. It fails after `timeout` seconds: azure-core would wait for 300, and
    with it every request, even after Microsoft Entra ID or the identity endpoint has recovered.
    """

    def __init__(self, credential: AsyncTokenCredential, timeout: float) -> None:
        self._credential = credential
        self._timeout = timeout
        self._token: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken] | None = None

    async def __call__(self) -> str:
        """Returns the token; raises `UpstreamError` if the request for one fails."""
        valid_seconds = self._token.expires_on - time() if self._token else 0
        if valid_seconds < _RENEWAL_SECONDS:
            self._fetch()
        if self._token and valid_seconds > _MIN_VALID_SECONDS:
            return self._token.token
        try:
            # Shielded, because the client of one request may disconnect while others wait for the same token.
            return (await asyncio.shield(self._fetch())).token
        except UpstreamError as error:
            # An exception for each request, since what becomes of it depends on the request.
            raise UpstreamError(error.message, reason=error.reason) from error

    def _fetch(self) -> asyncio.Task[AccessToken]:
        if not self._fetching:
            self._fetching = asyncio.create_task(self._get_token(), name="chat: fetch a token")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    async def _get_token(self) -> AccessToken:
        try:
            async with asyncio.timeout(self._timeout):
                token = await self._credential.get_token(_SCOPE)
            if not _TOKEN.fullmatch(token.token):
                raise ValueError("malformed token")
            return token
        except Exception as error:  # azure-identity does not document what it raises for a malformed response
            raise UpstreamError(
                "Could not authenticate with the model server.",
                reason=f"no token from Microsoft Entra ID ({type(error).__name__}): check the identity, or `azd auth login`",
            ) from error

    def _fetched(self, task: asyncio.Task[AccessToken]) -> None:
        self._fetching = None
        if not task.cancelled() and not task.exception():
            self._token = task.result()
