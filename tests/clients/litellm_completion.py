"""LiteLLM as a library: `acompletion` and `aresponses`."""

import json
from collections.abc import AsyncIterator
from typing import Any

import litellm
from pydantic import BaseModel

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()
litellm.suppress_debug_info = True
# Of the Responses API it streams only models that it knows.
model = "gpt-5.4-mini" if API == "responses" else MODEL
OPTIONS: dict[str, Any] = {"model": f"openai/{model}", "api_base": BASE_URL, "api_key": KEY}
FUNCTIONS = {"temperature": temperature, "local_time": local_time}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class City(BaseModel):
    """A city."""

    name: str
    population: int


class Responses:
    """The Responses API."""

    async def complete(self, question: str) -> str:
        return (await litellm.aresponses(input=question, **OPTIONS)).output_text

    async def stream(self, question: str) -> AsyncIterator[str]:
        async for event in await litellm.aresponses(input=question, stream=True, **OPTIONS):
            if event.type == "response.output_text.delta":
                yield event.delta

    async def two_turns(self) -> str:
        conversation: list[Any] = [{"role": "user", "content": FIRST}]
        first = await litellm.aresponses(input=conversation, **OPTIONS)
        conversation += [item.model_dump(exclude_none=True) for item in first.output]
        conversation.append({"role": "user", "content": SECOND})
        return (await litellm.aresponses(input=conversation, **OPTIONS)).output_text

    async def tools(self) -> str:
        tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in FUNCTIONS]
        conversation: list[Any] = [{"role": "user", "content": TOOLS}]
        while True:
            response = await litellm.aresponses(input=conversation, tools=tools, **OPTIONS)
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return response.output_text
            conversation += [item.model_dump(exclude_none=True) for item in response.output]
            for call in calls:
                output = FUNCTIONS[call.name](**json.loads(call.arguments))
                conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": output})

    async def structured(self) -> str:
        response = await litellm.aresponses(input="Describe Tokyo.", text_format=City, **OPTIONS)
        return City.model_validate_json(response.output_text).model_dump_json()


class ChatCompletions:
    """Chat Completions."""

    async def complete(self, question: str) -> str:
        return await self._send([{"role": "user", "content": question}])

    async def stream(self, question: str) -> AsyncIterator[str]:
        stream = await litellm.acompletion(messages=[{"role": "user", "content": question}], stream=True, **OPTIONS)
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""

    async def two_turns(self) -> str:
        messages: list[Any] = [{"role": "user", "content": FIRST}]
        messages += [{"role": "assistant", "content": await self._send(messages)}, {"role": "user", "content": SECOND}]
        return await self._send(messages)

    async def tools(self) -> str:
        tools = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in FUNCTIONS]
        messages: list[Any] = [{"role": "user", "content": TOOLS}]
        while True:
            message = (await litellm.acompletion(messages=messages, tools=tools, **OPTIONS)).choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                output = FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": output})

    async def structured(self) -> str:
        messages = [{"role": "user", "content": "Describe Tokyo."}]
        completion = await litellm.acompletion(messages=messages, response_format=City, **OPTIONS)
        return City.model_validate_json(completion.choices[0].message.content).model_dump_json()

    async def _send(self, messages: list[Any]) -> str:
        return (await litellm.acompletion(messages=messages, **OPTIONS)).choices[0].message.content


api = Responses() if API == "responses" else ChatCompletions()
run(Client(api.complete, api.stream, {"two turns": api.two_turns, "tools": api.tools, "structured": api.structured}))
