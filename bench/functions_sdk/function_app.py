"""The usual streaming function: the SDK's objects, written out as a line each."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, StreamingResponse
from openai import AsyncOpenAI

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
client = AsyncOpenAI(api_key="none", timeout=120)


@app.route(route="chat", methods=["POST"])
async def chat(req: Request) -> StreamingResponse:
    """Streams the completion."""
    messages: list[Any] = [{"role": "system", "content": "You are a helpful assistant."}]
    messages += (await req.json())["messages"]

    async def response_stream() -> AsyncGenerator[str]:
        stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=messages, stream=True)
        async for event in stream:
            yield json.dumps(event.model_dump(), ensure_ascii=False) + "\n"

    return StreamingResponse(response_stream(), media_type="application/x-ndjson")
