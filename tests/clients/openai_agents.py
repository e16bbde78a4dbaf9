"""OpenAI's Agents SDK for Python."""

from collections.abc import AsyncIterator

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()
client = AsyncOpenAI(base_url=BASE_URL, api_key=KEY)
set_default_openai_client(client)
set_tracing_disabled(True)
model = MODEL if API == "responses" else OpenAIChatCompletionsModel(MODEL, client)


class City(BaseModel):
    """A city."""

    name: str
    population: int


agent = Agent(name="Guide", instructions="Be brief.", model=model)
agent_with_tools = agent.clone(tools=[function_tool(temperature), function_tool(local_time)])


async def complete(question: str) -> str:
    return (await Runner.run(agent, question)).final_output


async def stream(question: str) -> AsyncIterator[str]:
    result = Runner.run_streamed(agent, question)
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            yield event.data.delta


async def two_turns() -> str:
    session = SQLiteSession("a conversation")
    await Runner.run(agent, FIRST, session=session)
    return (await Runner.run(agent, SECOND, session=session)).final_output


async def tools() -> str:
    return (await Runner.run(agent_with_tools, TOOLS)).final_output


async def tools_streamed() -> str:
    result = Runner.run_streamed(agent_with_tools, TOOLS)
    async for _ in result.stream_events():
        pass
    return result.final_output


async def structured() -> str:
    return (await Runner.run(agent.clone(output_type=City), "Describe Tokyo.")).final_output.model_dump_json()


scenarios = {"two turns": two_turns, "tools": tools, "tools, streamed": tools_streamed, "structured": structured}
run(Client(complete, stream, scenarios))
