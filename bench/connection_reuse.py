"""What a reused connection to the model server saves: a TLS server with the round-trip time of a real one.

`python -m bench.connection_reuse` prints only this; `make bench` has it in its table.
"""

import asyncio
import os
import ssl
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from chat.upstream.client import get_client
from testing.certificate import write_certificate
from testing.paced_model_server import PacedConnection

_ONE_WAY_SECONDS = 0.0125
_REQUESTS = 15
_IDLE_SECONDS = 16  # by default httpx2 closes an idle connection after 5 s, aiohttp after 15


def requests_over_tls() -> dict[str, list[float]]:
    """Milliseconds from a request to the head of its response, for each request, with a round trip of 25 ms."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        write_certificate(certificate, key)
        os.environ["SSL_CERT_FILE"] = str(certificate)
        return asyncio.run(_measure(certificate, key))


async def _measure(certificate: Path, key: Path) -> dict[str, list[float]]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    near = await asyncio.get_running_loop().create_server(PacedConnection, "127.0.0.1", 0, ssl=context)
    near_port: int = near.sockets[0].getsockname()[1]

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", near_port)
        # TCP's own handshake takes a round trip before the first byte.
        await asyncio.gather(
            _later(reader, server_writer, first=3 * _ONE_WAY_SECONDS), _later(server_reader, writer, first=_ONE_WAY_SECONDS)
        )

    far = await asyncio.start_server(forward, "127.0.0.1", 0)
    os.environ["OPENAI_BASE_URL"] = f"https://localhost:{far.sockets[0].getsockname()[1]}/v1"
    times: dict[str, list[float]] = {
        "first request": [await _request("burst 1")],
        "reused connection": [],
        "new connection": [],
    }
    for _ in range(_REQUESTS):
        times["reused connection"].append(await _request("burst 1 close"))
        await asyncio.sleep(4 * _ONE_WAY_SECONDS)  # until the server's close has arrived
        times["new connection"].append(await _request("burst 1"))
    await asyncio.sleep(_IDLE_SECONDS)
    times[f"after {_IDLE_SECONDS} s idle"] = [await _request("burst 1")]
    await get_client().close()
    far.close()
    near.close()
    return times


async def _later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: float) -> None:
    loop, delay = asyncio.get_running_loop(), first
    while data := await reader.read(65536):
        loop.call_later(delay, writer.write, data)
        delay = _ONE_WAY_SECONDS
    loop.call_later(delay, writer.close)


async def _request(command: str) -> float:
    began = perf_counter()
    stream = await get_client().chat.completions.create(
        model="gpt-5.4-mini", messages=[{"role": "user", "content": command}], stream=True
    )
    took = (perf_counter() - began) * 1000
    async for _ in stream:  # to the end: only then can the connection be reused
        pass
    return took


if __name__ == "__main__":
    for what, milliseconds in requests_over_tls().items():
        print(f"{what}: {statistics.median(milliseconds):.0f} ms")
