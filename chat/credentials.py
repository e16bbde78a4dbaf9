"""The sign-in to Azure OpenAI without a key: one token of Microsoft Entra ID, renewed while it is still good."""

import asyncio
from time import time

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.identity.aio import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    ChainedTokenCredential,
    ManagedIdentityCredential,
)

from chat.errors import SignInError
from chat.settings import Settings

_SCOPE = "https://cognitiveservices.azure.com/.default"
_RENEW_SECONDS = 600
"""So long before a token ends the next one is fetched, in the background."""
_LAST_SECONDS = 30
"""With less than that left it may end on the way: it counts as none."""


def credential(settings: Settings) -> AsyncTokenCredential:
    """The app's managed identity on Azure; on a developer's machine whoever is signed in with `azd` or `az`."""
    if settings.azure_client_id or settings.identity_endpoint:
        return ManagedIdentityCredential(client_id=settings.azure_client_id)
    tenant = settings.azure_tenant_id or ""
    return ChainedTokenCredential(AzureDeveloperCliCredential(tenant_id=tenant), AzureCliCredential(tenant_id=tenant))


class TokenProvider:
    """Called and awaited, gives a token; raises `SignInError` where there is none.

    Whoever comes while a token is being fetched waits for that one, and while the last one is good nobody waits at all.
    """

    def __init__(self, credential: AsyncTokenCredential) -> None:
        self._credential = credential
        self._token: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken] | None = None

    async def __call__(self) -> str:
        """The token, as the SDK puts it into its requests."""
        left = self._token.expires_on - time() if self._token else 0
        if left < _RENEW_SECONDS:
            self._renew()
        if self._token and left > _LAST_SECONDS:
            return self._token.token
        try:
            # A caller who leaves does not take the token along that others wait for.
            return (await asyncio.shield(self._renew())).token
        except AzureError as error:
            raise SignInError from error

    def _renew(self) -> asyncio.Task[AccessToken]:
        if not self._fetching:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    async def _fetch(self) -> AccessToken:
        return await self._credential.get_token(_SCOPE)

    def _fetched(self, fetching: asyncio.Task[AccessToken]) -> None:
        self._fetching = None
        if not fetching.cancelled() and not fetching.exception():
            self._token = fetching.result()
