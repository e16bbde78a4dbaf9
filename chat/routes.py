"""The HTTP triggers."""

import logging

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from chat.forms import OpenAIForm, ProtocolForm
from chat.relay import answer

blueprint = func.Blueprint()

# The worker's web server would log every URL, and so the function keys that callers put into `?code=`.
logging.getLogger("uvicorn.access").addFilter(lambda _: False)


@blueprint.route(route="chat", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat(req: Request, context: func.Context) -> Response:
    """Answers a chat: NDJSON, a chunk on each line, or one JSON object where `"stream": false` asks for it."""
    return await answer(req, context.invocation_id, OpenAIForm())


@blueprint.route(route="chat-protocol", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat_protocol(req: Request, context: func.Context) -> Response:
    """Answers a chat whole, as Microsoft's AI Chat Protocol has it."""
    return await answer(req, context.invocation_id, ProtocolForm(stream=False))


@blueprint.route(route="chat-protocol/stream", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat_protocol_stream(req: Request, context: func.Context) -> Response:
    """Answers a chat as a stream of the same protocol: a delta on each line."""
    return await answer(req, context.invocation_id, ProtocolForm(stream=True))
