"""Microsoft's Agent Framework, with its clients of both APIs."""

from collections.abc import AsyncIterator
from typing import Any

from agent_framework import Agent, tool
from agent_framework_openai import OpenAIChatClient, OpenAIChatCompletionClient
from pydantic import BaseModel

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()
client = (OpenAIChatClient if API == "responses" else OpenAIChatCompletionClient)(
    model=MODEL, api_key=KEY, base_url=BASE_URL
)
TOOL_LIST = [tool(temperature, approval_mode="never_require"), tool(local_time, approval_mode="never_require")]
NOT_STORED: dict[str, Any] = {"store": False}


class City(BaseModel):
    """A city."""

    name: str
    population: int


agent = Agent(client, "Be brief.")


async def complete(question: str) -> str:
    return (await agent.run(question)).text


async def stream(question: str) -> AsyncIterator[str]:
    async for update in agent.run(question, stream=True):
        yield update.text


async def two_turns(options: dict[str, Any] | None = None) -> str:
    session = agent.create_session()
    await agent.run(FIRST, session=session, options=options)
    return (await agent.run(SECOND, session=session, options=options)).text


async def tools(options: dict[str, Any] | None = None) -> str:
    return (await agent.run(TOOLS, tools=TOOL_LIST, options=options)).text


async def tools_streamed(options: dict[str, Any] | None = None) -> str:
    return (await agent.run(TOOLS, tools=TOOL_LIST, stream=True, options=options).get_final_response()).text


async def structured() -> str:
    return (await agent.run("Describe Tokyo.", options={"response_format": City})).value.model_dump_json()


scenarios: dict[str, Any] = {"structured": structured}
if API == "responses":
    scenarios |= {
        "two turns, store by default": two_turns,
        "tools, store by default": tools,
        "two turns": lambda: two_turns(NOT_STORED),
        "tools": lambda: tools(NOT_STORED),
        "tools, streamed": lambda: tools_streamed(NOT_STORED),
    }
else:
    scenarios |= {"two turns": two_turns, "tools": tools, "tools, streamed": tools_streamed}
run(Client(complete, stream, scenarios))
