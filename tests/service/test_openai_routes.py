"""The routes of OpenAI's API that need no model server, and the health of the service."""

import openai
import pytest
from openai import AsyncOpenAI

from testing.client import Configure, Service

KEYS = {"CHAT_API_KEYS": "alice=a-key-of-twenty-characters"}


@pytest.mark.parametrize("name", ["the-model", "org/model:tag"])
async def test_model_is_retrieved_by_its_name(service: Service, configure: Configure, name: str) -> None:
    configure(OPENAI_BASE_URL="http://localhost:1/v1", OPENAI_MODEL=name)
    async with AsyncOpenAI(base_url=f"{service.url}/api/v1", api_key="anything") as client:
        model = await client.models.retrieve(name)
        assert (model.id, model.owned_by) == (name, "compatible")
        with pytest.raises(openai.NotFoundError) as error:
            await client.models.retrieve("another")
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize("path", ["embeddings", "responses/resp_1", "chat/completions/x", "audio/speech"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_unknown_route_is_openai_s_error(service: Service, method: str, path: str) -> None:
    async with service.session.request(method, f"{service.url}/api/v1/{path}") as response:
        status, body = await service.read(response)
    assert status == 404
    assert body["error"] == {
        "message": f"Invalid URL ({method} /api/v1/{path})",
        "type": "invalid_request_error",
        "code": "unknown_url",
        "param": None,
    }


async def test_wrong_method_is_an_unknown_route(service: Service) -> None:
    async with service.session.get(f"{service.url}/api/v1/chat/completions") as response:
        _, body = await service.read(response)
    assert body["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("path", ["models/the-model", "embeddings"])
async def test_api_key_is_required(service: Service, configure: Configure, path: str) -> None:
    configure(OPENAI_BASE_URL="http://localhost:1/v1", **KEYS)
    async with service.session.get(f"{service.url}/api/v1/{path}") as response:
        assert (await service.read(response))[0] == 401


async def test_health_is_good_if_the_settings_are_valid(service: Service) -> None:
    async with service.session.get(f"{service.url}/api/health") as response:
        assert await service.read(response) == (200, {"status": "ok"})


async def test_health_is_the_configuration_error(service: Service, configure: Configure) -> None:
    configure()
    async with service.session.get(f"{service.url}/api/health") as response:
        status, body = await service.read(response)
    assert (status, body["error"]["type"]) == (500, "configuration_error")
