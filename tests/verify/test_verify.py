"""`make verify` against the local host: it passes where the contract is kept, and names the check that fails."""

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from local.settings import APP_DIR
from testing.behaviours import streams
from testing.certificate import write_certificate
from testing.chat_completions import OPENAI, event
from testing.command import python_m_local
from testing.model_server import Exchange, ModelServer
from testing.ports import free_port
from verify.instance import Instance


async def verify(url: str, *options: str) -> tuple[int, str]:
    """The status and the output of the command for an address."""
    return await python_m_verify("--url", url, *options)


async def python_m_verify(*options: str) -> tuple[int, str]:
    """The status and the output of the command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "verify", *options),
        cwd=APP_DIR,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@asynccontextmanager
async def instance(*options: str, **settings: str) -> AsyncIterator[tuple[str, list[str]]]:
    """An instance behind which `verify` starts the fake model server; yields its address, and the options for that."""
    port = str(free_port())
    environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "CHAT_TIMEOUT": "2", **settings}
    async with python_m_local(APP_DIR, *options, **environment) as command:
        yield f"http://localhost:{await command.ready()}", ["--fake-model-port", port]


def failures(output: str) -> list[str]:
    return re.findall(r"^  FAIL  +(.*)$", output, re.MULTILINE)


@pytest.mark.timeout(240)
async def test_every_check_and_every_fault_pass_in_front_of_the_fake_model_server() -> None:
    async with instance() as (url, fake_model):
        status, output = await verify(url, *fake_model)
    assert status == 0, output
    assert failures(output) == []
    assert "20 requests at once" in output
    assert "the model server sends something on an idle connection" in output


@pytest.mark.timeout(120)
async def test_concurrency_of_one_fails_and_says_why() -> None:
    async with instance() as (url, fake_model), buffering_proxy(url, requests_at_a_time=1) as proxy:
        status, output = await verify(proxy, *fake_model, "--only", "at once")
    assert status == 1, output
    (failure,) = failures(output)
    assert "only 1 of 20 had started when the first one ended" in failure
    assert "perInstanceConcurrency" in failure


@asynccontextmanager
async def buffering_proxy(url: str, requests_at_a_time: int = 100) -> AsyncIterator[str]:
    """A proxy that sends a response only when it is complete, and lets requests wait as an instance does."""
    proceed = asyncio.Semaphore(requests_at_a_time)

    async def forward(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "content-length"}}
        content = await request.read()
        async with (
            proceed,
            session.request(request.method, url + request.path_qs, headers=headers, data=content) as response,
        ):
            body = await response.read()
            kept = {name: value for name, value in response.headers.items() if name.lower() in {"content-type", "etag"}}
            return web.Response(status=response.status, headers=kept, body=body)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None)
    async with ClientSession(auto_decompress=False) as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


@pytest.mark.timeout(120)
async def test_buffering_proxy_fails_and_says_why() -> None:
    async with instance() as (url, fake_model), buffering_proxy(url) as proxy:
        status, output = await verify(proxy, *fake_model, "--only", "one by one")
    assert status == 1, output
    (failure,) = failures(output)
    assert "buffers the response" in failure


@pytest.mark.parametrize("name", ["one by one", "at once"])
async def test_streaming_of_a_response_that_takes_milliseconds_is_not_judged(name: str, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    async with (
        python_m_local(APP_DIR, OPENAI_BASE_URL=f"{model.url}/v1") as command,
        # Otherwise all could start before one ends.
        buffering_proxy(f"http://localhost:{await command.ready()}", requests_at_a_time=1) as url,
    ):
        await verify(url, "--only", "warm")  # the first request takes longer
        status, output = await verify(url, "--only", name)
    assert status == 0, output
    assert re.search(r"  skipped: the response took only \d+ ms\n", output)


async def test_model_that_finds_no_end_does_not_fail_the_check_of_a_disconnect(model: ModelServer) -> None:
    async def ramble(exchange: Exchange) -> None:
        await exchange.begin()
        while not exchange.closed.is_set():
            await exchange.chunk(event(OPENAI[1]))
            await asyncio.sleep(0.01)

    model.respond_with(ramble)
    async with python_m_local(APP_DIR, OPENAI_BASE_URL=f"{model.url}/v1") as command:
        status, output = await verify(f"http://localhost:{await command.ready()}", "--only", "disconnect")
    assert status == 0, output
    assert "4 others" in output


async def test_error_in_another_stream_fails_the_check_of_a_disconnect(model: ModelServer) -> None:
    model.respond_with(streams([OPENAI[1], {"error": {"message": "Failed."}}]))
    async with python_m_local(APP_DIR, OPENAI_BASE_URL=f"{model.url}/v1") as command:
        status, output = await verify(f"http://localhost:{await command.ready()}", "--only", "disconnect")
    assert status == 1
    (failure,) = failures(output)
    assert "another stream has the line" in failure


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:7071", "http://localhost:7071"),
        ("127.0.0.1:7071", "http://127.0.0.1:7071"),
        ("[::1]:7071", "http://[::1]:7071"),
        ("https://localhost", "https://localhost"),
        ("app.example", "https://app.example"),
        ("http://app.example/api/chat", "http://app.example"),
    ],
)
def test_url_without_a_scheme_is_http_on_this_machine_only(given: str, url: str) -> None:
    assert Instance(given).url == url


async def test_port_of_this_machine_and_how_to_give_another() -> None:
    port = free_port()
    status, output = await python_m_verify("--port", str(port))
    assert status == 2
    assert output.startswith(f"Checking http://localhost:{port}\n")
    assert output.endswith("If the service has another port: make verify PORT=7072\n")


async def test_instance_that_cannot_be_reached() -> None:
    status, output = await verify(f"http://127.0.0.1:{free_port()}")
    assert status == 2
    assert output.endswith("It cannot be reached: connection refused.\n")


async def test_server_that_does_not_speak_tls() -> None:
    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        status, output = await verify(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert status == 2
    assert output.endswith("It cannot be reached: it does not speak TLS.\n")


async def test_server_whose_certificate_is_not_valid(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate(certificate, key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        status, output = await verify(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert status == 2
    assert output.endswith("It cannot be reached: its certificate is not valid (self-signed certificate).\n")


@pytest.mark.timeout(60)
async def test_api_key_is_required_and_not_shown() -> None:
    key = "a-key-of-twenty-characters"
    async with instance(CHAT_API_KEYS=f"alice={key}") as (url, fake_model):
        status, output = await verify(url, *fake_model, "--api-key", key, "--only", "401")
        assert status == 0, output
        assert "v1/chat/completions" in output
        assert key not in output
        status, output = await verify(url, *fake_model, "--only", "list of models")
        assert status == 0, output
        assert "API_KEY is required" in output
        status, output = await verify(url, *fake_model, "--api-key", key[::-1], "--only", "list of models")
        assert status == 1
        assert "Missing or invalid API key." in output
