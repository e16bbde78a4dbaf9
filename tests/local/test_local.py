"""What stands in for Azure: the local host, and the command that serves the app with it."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copytree, ignore_patterns

import aiohttp
import pytest

from local.host import Host
from local.model import default_model
from local.settings import APP_DIR, HostSection, LocalSettings, route_prefix
from local.worker import HttpFunction, Worker
from tests.client import KEY, QUESTION, Service
from tests.fakes.model_server import ModelServer
from tests.fakes.responses import OPENAI, streams


async def test_the_wrong_method_is_a_route_not_found(service: Service) -> None:
    for method, path in [("PUT", "/api/chat"), ("DELETE", "/api/chat"), ("POST", "/chat"), ("POST", "/api/nothing")]:
        async with service.session.request(method, service.url + path) as response:
            assert response.status == 404


@pytest.mark.parametrize(("origin", "allowed"), [("https://good.example", True), ("https://evil.example", False)])
async def test_cors(service: Service, model: ModelServer, origin: str, allowed: bool) -> None:
    model.answers(streams(OPENAI))
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    async with service.session.options(f"{service.url}/api/chat", headers=ask) as preflight:
        assert preflight.status == (204 if allowed else 404)
        assert preflight.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert preflight.headers.get("Access-Control-Allow-Headers") == ("content-type" if allowed else None)
    async with service.post(QUESTION, headers={"Origin": origin}) as response:
        assert response.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        assert await service.read(response) == (200, OPENAI)


class EchoWorker(Worker):
    """A worker without the runtime: answers with what the host forwarded."""

    def __init__(self, address: str, functions: list[HttpFunction]) -> None:
        super().__init__(address, "0", functions, set())
        self.invocations: list[tuple[str, str, dict[str, str]]] = []

    async def invoke(self, function: HttpFunction, invocation_id: str, route_params: object) -> None:
        self.invocations.append((function.name, invocation_id, dict(route_params)))  # type: ignore[call-overload]


@asynccontextmanager
async def hosting(
    *functions: HttpFunction, prefix: str = "api", **settings: object
) -> AsyncIterator[tuple[str, EchoWorker]]:
    async def echo(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response({"path": request.path_qs, "id": request.headers["x-ms-invocation-id"]})

    app = aiohttp.web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    worker = EchoWorker(f"http://127.0.0.1:{runner.addresses[0][1]}", list(functions))
    host = Host(worker, prefix, HostSection.model_validate(settings))
    yield await host.start(0), worker
    await host.stop()
    await runner.cleanup()


def function(name: str, route: str, *methods: str) -> HttpFunction:
    return HttpFunction(name, name, route, methods, "ANONYMOUS", "req")


async def test_routes_by_methods_and_parameters() -> None:
    functions = [
        function("get", "things", "GET"),
        function("post", "things", "POST"),
        function("one", "things/{id:int}", "GET"),
        function("rest", "files/{*path}"),
    ]
    async with hosting(*functions) as (url, worker), aiohttp.ClientSession() as session:
        for method, path, name, params in [
            ("GET", "/api/things?a=%20b", "get", {}),
            ("POST", "/api/things", "post", {}),
            ("GET", "/api/things/7", "one", {"id": "7"}),
            ("PATCH", "/api/files/a/b.txt", "rest", {"path": "a/b.txt"}),
        ]:
            async with session.request(method, url + path) as response:
                echoed = await response.json()
            assert echoed["path"] == path
            assert worker.invocations[-1] == (name, echoed["id"], params)


async def test_no_prefix_and_any_origin() -> None:
    settings = {"CORS": "*", "CORSCredentials": True}
    async with (
        hosting(function("f", "f", "GET"), prefix="", **settings) as (url, _),
        aiohttp.ClientSession() as session,
        session.get(f"{url}/f", headers={"Origin": "https://any.example"}) as response,
    ):
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Credentials"] == "true"


def test_reads_its_files(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": "v1"}}}')
    assert route_prefix(tmp_path) == "v1"
    assert LocalSettings.read(tmp_path) == LocalSettings()
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "b"}, "Host": {"LocalHttpPort": 80, "CORS": "*"}}')
    settings = LocalSettings.read(tmp_path)
    assert (settings.Values, settings.Host.LocalHttpPort, settings.Host.CORS) == ({"A": "b"}, 80, "*")
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": 5}}')
    with pytest.raises(SystemExit, match=r"local\.settings\.json: Values\.A"):
        LocalSettings.read(tmp_path)


def test_the_sample_is_as_the_host_reads_it() -> None:
    sample = LocalSettings.model_validate_json((APP_DIR / "local.settings.json.sample").read_bytes())
    assert sample.Values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    assert not any(value for name, value in sample.Values.items() if name.endswith("KEY"))


class Served:
    """`python -m local` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def says(self, pattern: str) -> re.Match[str]:
        """Reads on until it has said this."""
        assert self.process.stdout
        async with asyncio.timeout(30):
            while not (match := re.search(pattern, self.output)):
                data = await self.process.stdout.read(4096)
                assert data, f"ended without saying {pattern!r}:\n{self.output}"
                self.output += data.decode()
        return match


@asynccontextmanager
async def serving(app_dir: Path, *options: str, **environment: str) -> AsyncIterator[Served]:
    names = ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local", *options),
        cwd=app_dir,
        env={**inherited, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Served(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(10):
            await process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    """A copy of the app, to change and to configure."""
    copy = tmp_path / "app"
    copytree(APP_DIR, copy, ignore=ignore_patterns(".*", "tests", "local.settings.json", "__pycache__"))
    return copy


async def ask_port(port: int) -> list[dict[str, object]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://localhost:{port}/api/chat", json=QUESTION) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_serves_a_real_model_and_ends_at_ctrl_c(app_dir: Path) -> None:
    port = free_port()
    async with serving(app_dir, "--port", str(port)) as served:
        await served.says("Try it:\n.*curl -N .*\n")
        assert "SmolLM2-135M-Instruct" in served.output
        assert f"chat: [POST] http://localhost:{port}/api/chat" in served.output
        assert re.search(r"azure-functions-runtime \d+\.\d+", served.output)

        lines = await ask_port(port)
        text = "".join(line["choices"][0]["delta"].get("content") or "" for line in lines if line["choices"])  # type: ignore[index]
        assert "Paris" in text
        assert len(lines) > 5

        os.kill(served.process.pid, signal.SIGINT)  # what Ctrl-C sends to the command; its own processes it must end itself
        async with asyncio.timeout(10):
            assert await served.process.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_caller_who_leaves_stops_the_real_model(app_dir: Path) -> None:
    port = free_port()
    async with serving(app_dir, "--port", str(port), "--model", str(default_model())) as served:
        await served.says("Try it")
        async with aiohttp.ClientSession() as session:
            story = {"messages": [{"content": "Tell me a very long story about a dragon and a knight."}]}
            async with session.post(f"http://localhost:{port}/api/chat", json=story) as answer:
                await answer.content.readline()
        await served.says("cancel task")
        await served.says('"outcome": "caller left"')


async def test_a_configured_model_goes_before_the_local_one(app_dir: Path, model: ModelServer) -> None:
    model.answers(streams(OPENAI))
    port = free_port()
    async with serving(app_dir, "--port", str(port), OPENAI_BASE_URL=f"{model.url}/v1", OPENAI_MODEL="mine") as served:
        await served.says("Try it")
        assert f"mine at {model.url}/v1" in served.output
        assert await ask_port(port) == OPENAI
    assert model.requests[0].json["model"] == "mine"


async def test_local_settings_configure_it_and_a_change_restarts_it(app_dir: Path, model: ModelServer) -> None:
    model.answers(streams(OPENAI))
    port = free_port()
    values = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": model.url, "CHAT_SYSTEM_PROMPT": "Be brief."}
    settings = {"Values": values, "Host": {"LocalHttpPort": port}}
    (app_dir / "local.settings.json").write_text(json.dumps(settings))
    async with serving(app_dir) as served:
        await served.says("Try it")
        assert await ask_port(port) == OPENAI
        assert model.requests[-1].headers["authorization"] == f"Bearer {KEY}"

        values["CHAT_SYSTEM_PROMPT"] = "Be long."
        (app_dir / "local.settings.json").write_text(json.dumps(settings))
        await served.says("restarting(.|\n)*Try it")
        assert await ask_port(port) == OPENAI
        assert KEY not in served.output
    assert [request.json["messages"][0]["content"] for request in model.requests] == ["Be brief.", "Be long."]


async def test_an_app_that_can_not_be_loaded_is_served_again_when_it_is_mended(app_dir: Path, model: ModelServer) -> None:
    port = free_port()
    file = app_dir / "function_app.py"
    good = file.read_text()
    file.write_text(good + "\nnonsense\n")
    async with serving(app_dir, "--port", str(port), OPENAI_BASE_URL=model.url) as served:
        await served.says("can't be loaded")
        await served.says("NameError: name 'nonsense' is not defined")
        file.write_text(good)
        await served.says("Try it")


async def test_a_port_in_use_is_one_clear_line(app_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with serving(app_dir, "--port", str(port)) as served:
            await served.says(rf"Port {port} can't be used: .*\n$")
            assert served.output.count("\n") == 1
            assert await served.process.wait() == 1


async def test_a_model_file_that_is_not_there_is_one_clear_line(app_dir: Path) -> None:
    async with serving(app_dir, "--port", str(free_port()), "--model", "nowhere.gguf") as served:
        await served.says(r"There is no model file nowhere\.gguf\.\n$")
        assert await served.process.wait() == 1
