"""LangChain's `ChatOpenAI`, with and without `use_responses_api`."""

from collections.abc import AsyncIterator

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.clients.scenarios import FIRST, MODEL, SECOND, TOOLS, Client, arguments, local_time, run, temperature

BASE_URL, KEY, API = arguments()
options = {"use_responses_api": True} if API == "responses" else {}
model = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=KEY, **options)
TOOL_LIST = [tool(temperature), tool(local_time)]


class City(BaseModel):
    """A city."""

    name: str
    population: int


async def complete(question: str) -> str:
    return (await model.ainvoke(question)).text


async def stream(question: str) -> AsyncIterator[str]:
    async for chunk in model.astream(question):
        yield chunk.text


async def two_turns() -> str:
    first = await model.ainvoke(FIRST)
    return (await model.ainvoke([HumanMessage(FIRST), first, HumanMessage(SECOND)])).text


async def tools() -> str:
    with_tools = model.bind_tools(TOOL_LIST)
    messages: list[BaseMessage] = [HumanMessage(TOOLS)]
    while True:
        message = await with_tools.ainvoke(messages)
        assert isinstance(message, AIMessage)
        if not message.tool_calls:
            return message.text
        messages.append(message)
        for call in message.tool_calls:
            (function,) = [function for function in TOOL_LIST if function.name == call["name"]]
            messages.append(await function.ainvoke(call))


async def structured() -> str:
    city = await model.with_structured_output(City).ainvoke("Describe Tokyo.")
    assert isinstance(city, City)
    return city.model_dump_json()


run(Client(complete, stream, {"two turns": two_turns, "tools": tools, "structured": structured}))
