"""pydantic-ai, with its models for both APIs."""

from collections.abc import AsyncIterator

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()
provider = OpenAIProvider(base_url=BASE_URL, api_key=KEY)
model = (OpenAIResponsesModel if API == "responses" else OpenAIChatModel)(MODEL, provider=provider)


class City(BaseModel):
    """A city."""

    name: str
    population: int


agent = Agent(model, instructions="Be brief.")
agent_with_tools = Agent(model, tools=[temperature, local_time])


async def complete(question: str) -> str:
    return (await agent.run(question)).output


async def stream(question: str) -> AsyncIterator[str]:
    async with agent.run_stream(question) as result:
        async for text in result.stream_text(delta=True):
            yield text


async def two_turns() -> str:
    first = await agent.run(FIRST)
    return (await agent.run(SECOND, message_history=first.all_messages())).output


async def tools() -> str:
    return (await agent_with_tools.run(TOOLS)).output


async def tools_streamed() -> str:
    async with agent_with_tools.run_stream(TOOLS) as result:
        return await result.get_output()


async def structured() -> str:
    return (await agent.run("Describe Tokyo.", output_type=City)).output.model_dump_json()


async def structured_natively() -> str:
    return (await agent.run("Describe Tokyo.", output_type=NativeOutput(City))).output.model_dump_json()


scenarios = {
    "two turns": two_turns,
    "tools": tools,
    "tools, streamed": tools_streamed,
    "structured": structured,
    "structured, with a schema": structured_natively,
}
run(Client(complete, stream, scenarios))
