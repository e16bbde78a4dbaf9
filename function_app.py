"""The function app: every HTTP trigger."""

import logging

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from chat.formats import OpenAIForm, ProtocolForm
from chat.relay import answer
from chat.web.openapi import document
from chat.web.pages import asset, page

app = func.FunctionApp()

# The worker's web server would log every URL, and so the function keys that callers put into `?code=`.
logging.getLogger("uvicorn.access").addFilter(lambda _: False)


@app.route(route="chat", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat(req: Request, context: func.Context) -> Response:
    """Answers a chat: NDJSON, a chunk on each line, or one JSON object where `"stream": false` asks for it."""
    return await answer(req, context.invocation_id, OpenAIForm())


@app.route(route="chat-protocol", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat_protocol(req: Request, context: func.Context) -> Response:
    """Answers a chat whole, as Microsoft's AI Chat Protocol has it."""
    return await answer(req, context.invocation_id, ProtocolForm(stream=False))


@app.route(route="chat-protocol/stream", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat_protocol_stream(req: Request, context: func.Context) -> Response:
    """Answers a chat as a stream of the same protocol: a delta on each line."""
    return await answer(req, context.invocation_id, ProtocolForm(stream=True))


@app.route(route="chat", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def chat_page(req: Request) -> Response:
    """The chat page: the address that programs post to is the one that people open."""
    return page("chat.html", req)


@app.route(route="docs", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def docs(req: Request) -> Response:
    """The interactive documentation."""
    return page("docs.html", req)


@app.route(route="assets/{file}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def assets(req: Request) -> Response:
    """A stylesheet, script or icon of the two pages."""
    return asset(req.path_params["file"], req)


@app.route(route="openapi.json", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def openapi(req: Request) -> Response:  # noqa: ARG001 - the worker passes it
    """The OpenAPI 3.1 document."""
    return Response(document(), headers={"Cache-Control": "no-cache"}, media_type="application/json")
