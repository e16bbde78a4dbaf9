"""The token: fetched once, by however many, and renewed before anybody has to wait for it."""

import asyncio
import time

import pytest
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError

from chat.credentials import TokenProvider
from chat.errors import SignInError


class EntraID(AsyncTokenCredential):
    """Stands in for Microsoft Entra ID: gives a token when the test says so."""

    def __init__(self, *good_for: int) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self._good_for = list(good_for)

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        del options
        assert scopes == ("https://cognitiveservices.azure.com/.default",)
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        if not (seconds := self._good_for.pop(0)):
            raise ClientAuthenticationError("no")
        return AccessToken(f"token {number}", int(time.time()) + seconds)

    async def close(self) -> None: ...

    async def __aexit__(self, *exc: object) -> None: ...


async def everybody(provider: TokenProvider) -> set[str]:
    return set(await asyncio.gather(*(provider() for _ in range(50))))


async def test_fifty_at_once_ask_once() -> None:
    entra = EntraID(3600)
    provider = TokenProvider(entra)
    asking = asyncio.create_task(everybody(provider))
    entra.may_answer.set()
    assert await asking == {"token 1"}
    assert await everybody(provider) == {"token 1"}
    assert entra.asked == 1


async def test_a_token_is_renewed_once_and_nobody_waits() -> None:
    entra = EntraID(300, 3600)
    provider = TokenProvider(entra)
    entra.may_answer.set()
    assert await provider() == "token 1"
    entra.may_answer.clear()
    assert await everybody(provider) == {"token 1"}  # at once, though Entra ID says nothing yet
    assert await everybody(provider) == {"token 1"}
    assert entra.asked == 2
    entra.may_answer.set()
    while await provider() != "token 2":
        await asyncio.sleep(0)
    assert entra.asked == 2


async def test_a_renewal_that_fails_is_tried_again_and_harms_nobody() -> None:
    entra = EntraID(300, 0, 3600)
    provider = TokenProvider(entra)
    entra.may_answer.set()
    assert await provider() == "token 1"
    while entra.asked < 3:
        assert await provider() == "token 1"
        await asyncio.sleep(0)
    while await provider() != "token 3":
        await asyncio.sleep(0)


async def test_a_token_about_to_end_counts_as_none() -> None:
    entra = EntraID(10, 3600)
    provider = TokenProvider(entra)
    entra.may_answer.set()
    assert await provider() == "token 1"
    assert await provider() == "token 2"


async def test_no_token() -> None:
    entra = EntraID(0, 3600)
    provider = TokenProvider(entra)
    entra.may_answer.set()
    with pytest.raises(SignInError):
        await provider()
    assert await provider() == "token 2"


async def test_a_caller_who_leaves_takes_no_token_along() -> None:
    entra = EntraID(3600)
    provider = TokenProvider(entra)
    leaving = asyncio.create_task(provider())
    staying = asyncio.create_task(provider())
    await asyncio.sleep(0)
    leaving.cancel()
    entra.may_answer.set()
    assert await staying == "token 1"
    assert leaving.cancelled()
