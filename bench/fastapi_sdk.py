"""FastAPI and the OpenAI SDK, as most tutorials have it: the SDK's objects, written out as a line each."""

import json
import sys
from collections.abc import AsyncGenerator
from typing import Any

import fastapi
import openai
import pydantic
import uvicorn


class Message(pydantic.BaseModel):
    """One message of the conversation."""

    content: str
    role: str = "user"


class ChatRequest(pydantic.BaseModel):
    """The body of `POST /chat`."""

    messages: list[Message]
    stream: bool = True


app = fastapi.FastAPI()
client = openai.AsyncOpenAI(api_key="none", base_url=f"http://127.0.0.1:{sys.argv[2]}/v1", timeout=120)


@app.post("/chat")
async def chat(chat_request: ChatRequest) -> fastapi.Response:
    """Streams the completion."""
    messages: list[Any] = [{"role": "system", "content": "You are a helpful assistant."}]
    messages += [message.model_dump() for message in chat_request.messages]

    async def response_stream() -> AsyncGenerator[str]:
        chat_coroutine = client.chat.completions.create(model="gpt-5.4-mini", messages=messages, stream=True)
        async for event in await chat_coroutine:
            yield json.dumps(event.model_dump(), ensure_ascii=False) + "\n"

    return fastapi.responses.StreamingResponse(response_stream())


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), http="httptools", log_level="warning")
