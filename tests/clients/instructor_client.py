"""instructor, in its default mode and in that for the Responses API: each completion is an object."""

from collections.abc import AsyncIterator

import instructor
from pydantic import BaseModel

from tests.clients.scenarios import MODEL, Client, arguments, run

BASE_URL, KEY, API = arguments()
mode = instructor.Mode.RESPONSES_TOOLS if API == "responses" else None
client = instructor.from_provider(f"openai/{MODEL}", async_client=True, mode=mode, base_url=BASE_URL, api_key=KEY)


class City(BaseModel):
    """A city."""

    name: str
    population: int


async def complete(question: str) -> str:
    city = await client.create(response_model=City, messages=[{"role": "user", "content": question}])
    return city.model_dump_json()


async def stream(question: str) -> AsyncIterator[str]:
    messages = [{"role": "user", "content": question}]
    async for city in client.create_partial(response_model=City, messages=messages):
        yield city.model_dump_json()


run(Client(complete, stream, {"structured": lambda: complete("Describe Tokyo.")}))
