"""OpenAI's own client for Python: `create`, `stream` and `parse` of both APIs."""

import json
from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI, pydantic_function_tool
from pydantic import BaseModel

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()
client = AsyncOpenAI(base_url=BASE_URL, api_key=KEY)


class City(BaseModel):
    """A city."""

    name: str
    population: int


class Arguments(BaseModel):
    """What the tools take."""

    city: str


FUNCTIONS = {"temperature": temperature, "local_time": local_time}
CHAT_TOOLS = [pydantic_function_tool(Arguments, name=name) for name in FUNCTIONS]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOL_LIST = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": True} for name in FUNCTIONS]


class Responses:
    """The Responses API."""

    async def complete(self, question: str) -> str:
        return (await client.responses.create(model=MODEL, input=question)).output_text

    async def stream(self, question: str) -> AsyncIterator[str]:
        async for event in await client.responses.create(model=MODEL, input=question, stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta

    async def helper(self, question: str) -> str:
        async with client.responses.stream(model=MODEL, input=question) as stream:
            return (await stream.get_final_response()).output_text

    async def two_turns(self) -> str:
        conversation: list[Any] = [{"role": "user", "content": FIRST}]
        first = await client.responses.create(model=MODEL, input=conversation)
        conversation += [*first.output, {"role": "user", "content": SECOND}]
        return (await client.responses.create(model=MODEL, input=conversation)).output_text

    async def tools(self) -> str:
        conversation: list[Any] = [{"role": "user", "content": TOOLS}]
        while True:
            tools: Any = TOOL_LIST
            async with client.responses.stream(model=MODEL, input=conversation, tools=tools) as stream:
                response = await stream.get_final_response()
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return response.output_text
            conversation += response.output
            for call in calls:
                output = FUNCTIONS[call.name](**json.loads(call.arguments))
                conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": output})

    async def structured(self) -> str:
        response = await client.responses.parse(model=MODEL, input="Describe Tokyo.", text_format=City)
        assert response.output_parsed
        return response.output_parsed.model_dump_json()


class ChatCompletions:
    """Chat Completions."""

    async def complete(self, question: str) -> str | None:
        return await self._send([{"role": "user", "content": question}])

    async def stream(self, question: str) -> AsyncIterator[str]:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""

    async def helper(self, question: str) -> str | None:
        messages: list[Any] = [{"role": "user", "content": question}]
        async with client.chat.completions.stream(model=MODEL, messages=messages) as stream:
            return (await stream.get_final_completion()).choices[0].message.content

    async def two_turns(self) -> str | None:
        messages: list[Any] = [{"role": "user", "content": FIRST}]
        messages += [{"role": "assistant", "content": await self._send(messages)}, {"role": "user", "content": SECOND}]
        return await self._send(messages)

    async def tools(self) -> str | None:
        messages: list[Any] = [{"role": "user", "content": TOOLS}]
        while True:
            async with client.chat.completions.stream(model=MODEL, messages=messages, tools=CHAT_TOOLS) as stream:
                message = (await stream.get_final_completion()).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                output = FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})

    async def structured(self) -> str:
        completion = await client.chat.completions.parse(
            model=MODEL, messages=[{"role": "user", "content": "Describe Tokyo."}], response_format=City
        )
        assert completion.choices[0].message.parsed
        return completion.choices[0].message.parsed.model_dump_json()

    async def _send(self, messages: list[Any]) -> str | None:
        completion = await client.chat.completions.create(model=MODEL, messages=messages)
        return completion.choices[0].message.content


api = Responses() if API == "responses" else ChatCompletions()
scenarios = {
    "streamed, with the helper": lambda: api.helper(FIRST),
    "two turns": api.two_turns,
    "tools": api.tools,
    "structured": api.structured,
}
run(Client(api.complete, api.stream, scenarios))
