"""On a developer's own machine, the model server's own reason reaches the person; on Azure it does not."""

import pytest

from testing.behaviours import responds, streams_bytes
from testing.client import Configure, Logged, Service
from testing.model_server import Behaviour, ModelServer

REASONS: dict[str, tuple[Behaviour, str, str]] = {
    "a model that does not exist": (
        responds(404, {"error": {"message": "model 'llama3' not found, try pulling it first"}}),
        "The model server rejected this service.",
        "model 'llama3' not found, try pulling it first; check the deployment's or model's name",
    ),
    "a base URL without /v1": (
        responds(404, b"404 page not found", "text/plain"),
        "The model server rejected this service.",
        "OPENAI_BASE_URL usually ends in /v1",
    ),
    "an image for a text model": (
        responds(500, {"error": {"code": 500, "message": "image input is not supported"}}, retry_after_ms="1"),
        "The model server failed.",
        "image input is not supported",
    ),
    "an error event": (
        streams_bytes(b'data: {"error": {"code": 500, "message": "no slot available"}}\n\n'),
        "The model server failed.",
        "no slot available",
    ),
    "HTML": (
        responds(200, b"<html>Welcome</html>", "text/html"),
        "The model server's response ended early.",
        "the stream ended without [DONE]",
    ),
}


@pytest.mark.parametrize("name", REASONS)
@pytest.mark.parametrize("environment", ["Development", "Production", ""])
async def test_reason_reaches_the_response_and_the_log_in_development(
    service: Service, model: ModelServer, configure: Configure, logged: Logged, environment: str, name: str
) -> None:
    behaviour, message, reason = REASONS[name]
    configure(OPENAI_BASE_URL=model.url, AZURE_FUNCTIONS_ENVIRONMENT=environment)
    model.respond_with(behaviour)
    status, body = await service.send()
    (line,) = await logged()
    assert status == 502
    if environment == "Development":
        assert body["error"]["message"] == f"{message} Reason: {line['reason']}."
        assert reason in line["reason"]
    else:
        assert body["error"]["message"] == message
