"""The function app: every HTTP trigger."""

import logging

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from chat.api.auth import auth_levels, signed_in_name
from chat.api.handler import CompletionResponse
from chat.api.health import health as health_response
from chat.api.openai_routes import get_model, list_models, unknown_url
from chat.api.worker_memory import release_invocations
from chat.formats.chat_completions import ChatCompletionsFormat
from chat.formats.chat_protocol import ProtocolFormat
from chat.formats.ndjson import NdjsonFormat
from chat.formats.responses import ResponsesFormat
from web.pages import asset, openapi_document, page

ANONYMOUS = func.AuthLevel.ANONYMOUS
auth_level, api_key_auth_level = auth_levels()

app = func.FunctionApp(http_auth_level=auth_level)

# The worker's web server would log every URL, and with it the function keys in `?code=`.
logging.getLogger("uvicorn.access").addFilter(lambda _: False)

release_invocations()


@app.route(route="chat", methods=["POST"])
async def chat(req: Request, context: func.Context) -> Response:
    """A completion: streamed as NDJSON or server-sent events, or complete if the request has `"stream": false`."""
    return CompletionResponse(req, NdjsonFormat(req.headers.get("accept", "")), context)


@app.route(route="chat-protocol", methods=["POST"])
async def chat_protocol(req: Request, context: func.Context) -> Response:
    """A complete completion in Microsoft's AI Chat Protocol."""
    return CompletionResponse(req, ProtocolFormat(req.headers.get("accept", ""), stream=False), context)


@app.route(route="chat-protocol/stream", methods=["POST"])
async def chat_protocol_stream(req: Request, context: func.Context) -> Response:
    """A streamed completion in Microsoft's AI Chat Protocol."""
    return CompletionResponse(req, ProtocolFormat(req.headers.get("accept", ""), stream=True), context)


@app.route(route="v1/chat/completions", methods=["POST"], auth_level=api_key_auth_level)
async def chat_completions(req: Request, context: func.Context) -> Response:
    """A completion in OpenAI's Chat Completions API, for any client whose base URL can be set."""
    return CompletionResponse(req, ChatCompletionsFormat(), context, takes_api_key=True)


@app.route(route="v1/responses", methods=["POST"], auth_level=api_key_auth_level)
async def responses(req: Request, context: func.Context) -> Response:
    """A completion in OpenAI's Responses API, without stored state."""
    return CompletionResponse(req, ResponsesFormat(), context, takes_api_key=True)


@app.route(route="v1/models", methods=["GET"], auth_level=api_key_auth_level)
async def models(req: Request) -> Response:
    """The list of models, in OpenAI's format."""
    return list_models(req)


@app.route(route="v1/models/{*id}", methods=["GET"], auth_level=api_key_auth_level)
async def model(req: Request) -> Response:
    """The model, in OpenAI's format."""
    return get_model(req, req.path_params["id"])


@app.route(route="v1/{*path}", auth_level=api_key_auth_level)
async def unknown_v1_route(req: Request) -> Response:
    """OpenAI's error for every other route of its API."""
    return unknown_url(req)


@app.route(route="health", methods=["GET"], auth_level=ANONYMOUS)
async def health(req: Request) -> Response:  # noqa: ARG001 - the worker passes the request
    """Whether the settings are valid."""
    return health_response()


@app.route(route="chat", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def chat_page(req: Request) -> Response:
    """The chat page, at the path to which programs post."""
    return page("chat.html", req, signed_in_name(req.headers))


@app.route(route="docs", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def docs(req: Request) -> Response:
    """The interactive documentation."""
    return page("docs.html", req, signed_in_name(req.headers))


@app.route(route="assets/{file}", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def assets(req: Request) -> Response:
    """A stylesheet, script or icon of the two pages."""
    return asset(req.path_params["file"], req)


@app.route(route="openapi.json", methods=["GET", "HEAD"], auth_level=ANONYMOUS)
def openapi(req: Request) -> Response:
    """The OpenAPI document."""
    return openapi_document(req)
