"""The token: fetched once for all requests, and renewed before any of them has to wait."""

import asyncio
import time

import pytest
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError

from chat.errors import UpstreamError
from chat.upstream.credentials import TokenProvider


class FakeCredential(AsyncTokenCredential):
    """Provides tokens that are valid for these numbers of seconds, or fails for 0, once `may_respond` is set."""

    def __init__(self, *valid_seconds: int) -> None:
        self.calls = 0
        self.may_respond = asyncio.Event()
        self._valid_seconds = list(valid_seconds)

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        del options
        assert scopes == ("https://cognitiveservices.azure.com/.default",)
        self.calls += 1
        number = self.calls
        await self.may_respond.wait()
        if not (seconds := self._valid_seconds.pop(0)):
            raise ClientAuthenticationError("no")
        return AccessToken(f"token-{number}", int(time.time()) + seconds)

    async def close(self) -> None: ...

    async def __aexit__(self, *exc: object) -> None: ...


def make_provider(*valid_seconds: int, timeout: float = 10) -> tuple[FakeCredential, TokenProvider]:
    credential = FakeCredential(*valid_seconds)
    return credential, TokenProvider(credential, timeout)


async def fifty_requests(provider: TokenProvider) -> set[str]:
    return set(await asyncio.gather(*(provider() for _ in range(50))))


async def test_fifty_requests_share_one_fetch() -> None:
    credential, provider = make_provider(3600)
    requests = asyncio.create_task(fifty_requests(provider))
    credential.may_respond.set()
    assert await requests == {"token-1"}
    assert await fifty_requests(provider) == {"token-1"}
    assert credential.calls == 1


async def test_token_is_renewed_once_in_the_background() -> None:
    credential, provider = make_provider(300, 3600)
    credential.may_respond.set()
    assert await provider() == "token-1"
    credential.may_respond.clear()
    assert await fifty_requests(provider) == {"token-1"}  # at once, though the next one has not arrived
    assert await fifty_requests(provider) == {"token-1"}
    assert credential.calls == 2
    credential.may_respond.set()
    while await provider() != "token-2":
        await asyncio.sleep(0)
    assert credential.calls == 2


async def test_failed_renewal_is_repeated_and_disturbs_no_request() -> None:
    credential, provider = make_provider(300, 0, 3600)
    credential.may_respond.set()
    assert await provider() == "token-1"
    while credential.calls < 3:
        assert await provider() == "token-1"
        await asyncio.sleep(0)
    while await provider() != "token-3":
        await asyncio.sleep(0)


async def test_token_about_to_expire_is_not_used() -> None:
    credential, provider = make_provider(10, 3600)
    credential.may_respond.set()
    assert await provider() == "token-1"
    assert await provider() == "token-2"


async def test_failed_fetch_is_reported_and_repeated() -> None:
    credential, provider = make_provider(0, 3600)
    credential.may_respond.set()
    with pytest.raises(UpstreamError, match="Could not authenticate"):
        await provider()
    assert await provider() == "token-2"


async def test_fetch_that_hangs_ends_at_its_timeout_and_is_repeated() -> None:
    credential, provider = make_provider(3600, timeout=0.05)
    with pytest.raises(UpstreamError) as error:
        await provider()
    assert "TimeoutError" in error.value.reason
    credential.may_respond.set()
    assert await provider() == "token-2"


async def test_disconnect_of_one_client_does_not_cancel_the_fetch_of_others() -> None:
    credential, provider = make_provider(3600)
    disconnecting = asyncio.create_task(provider())
    waiting = asyncio.create_task(provider())
    await asyncio.sleep(0)
    disconnecting.cancel()
    credential.may_respond.set()
    assert await waiting == "token-1"
    assert disconnecting.cancelled()


async def test_each_request_gets_an_error_of_its_own() -> None:
    credential, provider = make_provider(0)
    credential.may_respond.set()
    errors = await asyncio.gather(*[provider() for _ in range(3)], return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert {type(error) for error in errors} == {UpstreamError}
    assert credential.calls == 1
