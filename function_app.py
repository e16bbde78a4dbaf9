"""The function app: every HTTP trigger."""

import logging

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from chat.formats import NdjsonFormat, ProtocolFormat
from chat.response import ChatResponse
from chat.web.pages import asset, openapi_document, page

app = func.FunctionApp()

# The worker's web server would log every URL, and with it the function keys in `?code=`.
logging.getLogger("uvicorn.access").addFilter(lambda _: False)


@app.route(route="chat", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat(req: Request, context: func.Context) -> Response:
    """A completion: streamed as NDJSON, or complete where the request says `"stream": false`."""
    return ChatResponse(req, NdjsonFormat(), context)


@app.route(route="chat-protocol", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat_protocol(req: Request, context: func.Context) -> Response:
    """A complete completion in Microsoft's AI Chat Protocol."""
    return ChatResponse(req, ProtocolFormat(stream=False), context)


@app.route(route="chat-protocol/stream", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def chat_protocol_stream(req: Request, context: func.Context) -> Response:
    """A streamed completion in Microsoft's AI Chat Protocol."""
    return ChatResponse(req, ProtocolFormat(stream=True), context)


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
def openapi(req: Request) -> Response:
    """The OpenAPI document."""
    return openapi_document(req)
