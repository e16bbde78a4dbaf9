"""`make run`: starting, serving, restarting and ending, with the processes that it consists of."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from local.serve import QUESTION as QUESTION_TEXT
from local.settings import APP_DIR
from testing.behaviours import stalls_after, streams
from testing.chat_completions import OPENAI, event
from testing.client import KEY, QUESTION
from testing.command import Command, arguments, gone, make_run, python_m_local
from testing.model_server import ModelServer

STORY = {"messages": [{"content": "Tell me a very long story about a dragon and a knight."}]}
SERVE, MODEL_SERVER = "local.serve", "local.llama_server"
SOON = 3.0  # seconds; it takes half of one where nothing else runs

type Run = Callable[..., AbstractAsyncContextManager[Command]]


async def post(port: int) -> list[dict[str, Any]]:
    """The chunks of a completion."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://localhost:{port}/api/chat", json=QUESTION) as response,
    ):
        assert response.status == 200, await response.text()
        return [json.loads(line) for line in (await response.text()).splitlines()]


@asynccontextmanager
async def streaming(port: int, body: object = QUESTION) -> AsyncGenerator[aiohttp.ClientResponse]:
    """A request whose first chunk has arrived."""
    async with aiohttp.ClientSession() as session, session.post(f"http://localhost:{port}/api/chat", json=body) as response:
        assert await response.content.readline()
        yield response


def selecting(model: ModelServer) -> dict[str, str]:
    """The environment that selects a model server."""
    return {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_MODEL": "the-model"}


async def test_serves_a_real_model_and_ends_at_sigint(app_dir: Path) -> None:
    async with python_m_local(app_dir) as command:
        port = await command.ready()
        assert re.search(
            r"Model: +SmolLM2-135M-Instruct\S*, on this machine\n +No model server is configured", command.output
        )

        chunks = await post(port)
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
        assert "Tokyo" in text
        assert len(chunks) > 5

        processes = [await command.started(module) for module in (SERVE, MODEL_SERVER)]
        os.kill(command.process.pid, signal.SIGINT)
        assert await command.ends() == 0
        await gone(*processes)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_disconnect_stops_the_real_model(app_dir: Path) -> None:
    async with python_m_local(app_dir) as command:
        async with streaming(await command.ready(), STORY):
            log = Path(f"/proc/{await command.started(MODEL_SERVER)}/fd/2")
        async with asyncio.timeout(30):
            while "cancel task" not in log.read_text():  # noqa: ASYNC240
                await asyncio.sleep(0.05)


async def test_the_local_model_requires_its_key(app_dir: Path) -> None:
    async with python_m_local(app_dir) as command, aiohttp.ClientSession() as session:
        await command.ready()
        *_, port = arguments(await command.started(MODEL_SERVER))
        async with session.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=QUESTION) as response:
            assert response.status == 401


async def test_the_local_model_is_reachable_where_everything_else_goes_through_a_proxy(app_dir: Path) -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "example.com"}
    async with python_m_local(app_dir, **proxy) as command:
        assert await post(await command.ready())


@pytest.mark.parametrize("streams_open", [True, False], ids=["streaming", "idle"])
async def test_ctrl_c_ends_make_run_soon(app_dir: Path, model: ModelServer, streams_open: bool) -> None:
    model.respond_with(stalls_after(event(OPENAI[0])))
    async with make_run(app_dir, "PORT=0", **selecting(model)) as command:
        port = await command.ready()
        if streams_open:
            async with streaming(port), streaming(port):
                command.press_ctrl_c()
                await command.ends(SOON)
        else:
            command.press_ctrl_c()
            await command.ends(SOON)
    assert "Traceback" not in command.output
    assert "make:" not in command.output


async def test_ctrl_c_twice_ends_make_run_without_a_traceback(app_dir: Path, model: ModelServer) -> None:
    model.respond_with(stalls_after(event(OPENAI[0])))
    async with (
        make_run(app_dir, "PORT=0", **selecting(model)) as command,
        streaming(await command.ready()),
    ):
        command.press_ctrl_c()
        await command.prints(r"\^C")
        command.press_ctrl_c()
        await command.ends(SOON)
    assert "Traceback" not in command.output


@pytest.mark.parametrize("module", [MODEL_SERVER, SERVE])
async def test_ctrl_c_while_starting_ends_make_run_without_a_traceback(app_dir: Path, module: str) -> None:
    async with make_run(app_dir, "PORT=0") as command:
        await command.started(module)
        command.press_ctrl_c()
        await command.ends(SOON)
    assert "Traceback" not in command.output
    assert "make:" not in command.output


@pytest.mark.parametrize(
    ("run", "option", "status"), [(python_m_local, "--port=0", 0), (make_run, "PORT=0", -signal.SIGTERM)]
)
async def test_sigterm_ends_it_like_ctrl_c(app_dir: Path, model: ModelServer, run: Run, option: str, status: int) -> None:
    model.respond_with(stalls_after(event(OPENAI[0])))
    async with run(app_dir, option, **selecting(model)) as command:
        async with streaming(await command.ready()):
            service = await command.started(SERVE)
            command.process.terminate()
            assert await command.ends(SOON) == status
        await gone(service)
    assert "Traceback" not in command.output


@pytest.mark.parametrize(
    ("module", "message"),
    [(SERVE, "The service has ended unexpectedly (signal 9)."), (MODEL_SERVER, "The model server was ended by signal 9.")],
)
async def test_a_process_that_ends_ends_all(app_dir: Path, module: str, message: str) -> None:
    async with python_m_local(app_dir) as command:
        await command.ready()
        processes = [await command.started(SERVE), await command.started(MODEL_SERVER)]
        os.kill(await command.started(module), signal.SIGKILL)
        assert await command.ends(SOON) == 1
        assert command.output.endswith(f"{message}\n")
        await gone(*processes)


async def test_sigkill_leaves_no_process_behind(app_dir: Path) -> None:
    async with python_m_local(app_dir) as command:
        await command.ready()
        processes = [await command.started(SERVE), await command.started(MODEL_SERVER)]
        command.process.kill()
        await gone(*processes)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a model", "invalid magic characters: 'not ', expected 'GGUF'"),
        (b"GGUF", "failed to read header"),
    ],
    ids=["not a model", "truncated"],
)
async def test_an_unusable_model_is_one_line(app_dir: Path, content: bytes, reason: str) -> None:
    (app_dir / "file.gguf").write_bytes(content)
    async with python_m_local(app_dir, "--model", "file.gguf") as command:
        assert await command.ends() == 1
    assert re.fullmatch(rf"file cannot be served: {reason}\.\n", command.output)


async def test_an_invalid_request_prints_nothing(app_dir: Path, model: ModelServer) -> None:
    async with python_m_local(app_dir, **selecting(model)) as command:
        port = await command.ready()
        printed = command.output
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/9.9\r\n\r\n")
        assert b" 400 " in await reader.read()
        writer.close()
        command.process.terminate()
        await command.ends()
    assert command.output.strip() == printed.strip()


async def test_a_port_in_use_is_one_line(app_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with python_m_local(app_dir, "--port", str(port)) as command:
            assert await command.ends() == 1
    assert command.output == f"Cannot listen on port {port} (address already in use). To use any free one: make run PORT=0\n"


@pytest.mark.parametrize("port", ["65536", "-1", "x"])
async def test_an_invalid_port_is_an_error(app_dir: Path, port: str) -> None:
    async with python_m_local(app_dir, f"--port={port}") as command:
        assert await command.ends() == 2
    assert "argument --port: must be a number from 0 to 65535" in command.output


async def test_an_invalid_setting_is_reported_at_the_start(app_dir: Path, model: ModelServer) -> None:
    settings = {**selecting(model), "CHAT_TIMEOUT": "soon"}
    async with python_m_local(app_dir, **settings) as command:
        assert await command.ends() == 1
    assert command.output.startswith("CHAT_TIMEOUT")
    assert command.output.count("\n") == 1


async def test_the_banner_says_which_setting_selects_the_model_and_where_it_is_set(
    app_dir: Path, model: ModelServer
) -> None:
    values = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_MODEL": "mine", "OPENAI_API_KEY": ""}
    (app_dir / "local.settings.json").write_text(json.dumps({"Values": values}))
    async with python_m_local(app_dir, OPENAI_MODEL="", OPENAI_API_KEY=KEY) as command:
        await command.ready()
    expected = (
        f"Model:   mine at {model.url}/v1\n"
        "         Set by OPENAI_BASE_URL in local.settings.json and OPENAI_API_KEY in the environment.\n"
        "         To run without: env -u OPENAI_API_KEY make run\n"
    )
    assert expected in command.output
    assert KEY not in command.output


async def test_a_configured_model_server_is_used(app_dir: Path, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    async with python_m_local(app_dir, **selecting(model)) as command:
        assert await post(await command.ready()) == OPENAI
        assert command.find(MODEL_SERVER) is None
    assert model.requests[0].json["model"] == "the-model"


async def test_unknown_keys_of_the_settings_file_are_reported(app_dir: Path, model: ModelServer) -> None:
    (app_dir / "local.settings.json").write_text('{"Vaules": {}, "Host": {"CROS": "*"}}')
    async with python_m_local(app_dir, **selecting(model)) as command:
        await command.ready()
    assert command.output.startswith("Ignored in local.settings.json: Vaules, Host.CROS.\n")


async def test_unknown_settings_in_the_settings_file_are_reported(app_dir: Path, model: ModelServer) -> None:
    values = {"CHAT_TIMEOT": "5", "openai_base_urls": "", "AZURE_OPENAI_KEY": KEY, "chat_timeout": "5", "OTHER_TIMEOT": "5"}
    (app_dir / "local.settings.json").write_text(json.dumps({"Values": values}))
    async with python_m_local(app_dir, **selecting(model), CHAT_MODEL="x") as command:
        await command.ready()
    names = "CHAT_TIMEOT, openai_base_urls, AZURE_OPENAI_KEY"
    assert command.output.startswith(f"Warning: unknown settings in local.settings.json: {names}.\n")
    assert KEY not in command.output


async def test_an_unknown_setting_is_reported_before_the_error_that_it_causes(app_dir: Path) -> None:
    values = {"AZURE_OPENAI_ENDPOINT": "https://name.openai.azure.com", "AZURE_OPENAI_DEPLOYMENT": "chat"}
    (app_dir / "local.settings.json").write_text(json.dumps({"Values": values}))
    async with python_m_local(app_dir) as command:
        assert await command.ends() == 1
    assert command.output.splitlines() == [
        "Warning: unknown settings in local.settings.json: AZURE_OPENAI_DEPLOYMENT.",
        "AZURE_OPENAI_ENDPOINT requires AZURE_OPENAI_CHAT_DEPLOYMENT.",
    ]


async def test_a_changed_setting_restarts_the_service(app_dir: Path, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    values = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": model.url, "CHAT_SYSTEM_PROMPT": "Be brief."}
    (app_dir / "local.settings.json").write_text(json.dumps({"Values": values}))
    async with python_m_local(app_dir) as command:
        port = await command.ready()
        assert await post(port) == OPENAI
        assert model.requests[-1].headers["authorization"] == f"Bearer {KEY}"

        values["CHAT_SYSTEM_PROMPT"] = "Be verbose."
        (app_dir / "local.settings.json").write_text(json.dumps({"Values": values}))
        await command.prints(r"local\.settings\.json changed: restarting\.\n(.|\n)*Restarted, with .*\n")
        assert await post(port) == OPENAI
        assert command.output.count("Open http://") == 1
        assert KEY not in command.output
    assert [request.json["messages"][0]["content"] for request in model.requests] == ["Be brief.", "Be verbose."]


async def test_only_source_files_restart_the_service(app_dir: Path, model: ModelServer) -> None:
    async with python_m_local(app_dir, **selecting(model)) as command:
        await command.ready()
        for name in [
            "chat/.errors.py.swp",
            "chat/errors.py~",
            "chat/4913",
            "chat/#errors.py#",
            "notes.json",
            "chat/notes.md",
        ]:
            (app_dir / name).write_text("x")
        (app_dir / "chat" / ".#errors.py").symlink_to("user@machine.1")
        (app_dir / "README.md").touch()
        (app_dir / "local" / "host.py").touch()
        (app_dir / "chat" / "errors.py").touch()
        await command.prints("Restarted")
    assert re.findall(r"(.*) changed:", command.output) == ["chat/errors.py"]


async def test_a_restart_while_streaming_refuses_no_connection(app_dir: Path, model: ModelServer) -> None:
    model.respond_with(stalls_after(event(OPENAI[0])), streams(OPENAI))
    async with python_m_local(app_dir, **selecting(model)) as command:
        port = await command.ready()
        async with streaming(port) as response:
            (app_dir / "function_app.py").touch()
            with pytest.raises(aiohttp.ClientError):
                await response.content.read()
            async with asyncio.timeout(10):
                assert await post(port) == OPENAI  # which waits for the new process
        await command.prints("Restarted")


async def test_an_app_that_cannot_be_loaded_ends_the_command_with_its_traceback(app_dir: Path, model: ModelServer) -> None:
    with (app_dir / "function_app.py").open("a") as file:
        file.write("\nundefined\n")
    async with python_m_local(app_dir, **selecting(model)) as command:
        assert await command.ends() == 1
    assert command.output.startswith("The function app cannot be loaded.\n")
    assert "NameError: name 'undefined' is not defined" in command.output


@pytest.mark.parametrize("name", ["function_app.py", "local.settings.json"])
async def test_an_error_after_a_change_is_waited_out(app_dir: Path, model: ModelServer, name: str) -> None:
    model.respond_with(streams(OPENAI))
    file = app_dir / name
    before = file.read_text() if file.exists() else "{}"
    async with python_m_local(app_dir, **selecting(model)) as command:
        port = await command.ready()
        file.write_text("{undefined")
        await command.prints(r"Waiting for a change\.\n")
        file.write_text(before)
        await command.prints("Restarted")
        assert await post(port) == OPENAI


async def test_the_root_and_a_trailing_slash_lead_to_the_page(app_dir: Path, model: ModelServer) -> None:
    async with (
        python_m_local(app_dir, **selecting(model)) as command,
        aiohttp.ClientSession(f"http://localhost:{await command.ready()}") as session,
    ):
        for path in ["/", "/api/chat/", "/api/chat"]:
            async with session.get(path) as response:
                assert response.url.path == "/api/chat"
                assert response.content_type == "text/html"


LOGS_A_REQUEST = """
import sys
logging.getLogger("chat.requests").addHandler(logging.StreamHandler(sys.stdout))
logging.getLogger("chat.requests").setLevel(logging.INFO)
logging.getLogger("chat.requests").info('{"status": 502, "outcome": "failed", "reason": "could not connect"}')
"""


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (make_run, "502  could not connect"),
        (python_m_local, '{"status": 502, "outcome": "failed", "reason": "could not connect"}'),
    ],
    ids=["terminal", "pipe"],
)
async def test_a_request_is_a_line_for_people_on_a_terminal_and_json_elsewhere(
    app_dir: Path, model: ModelServer, run: Run, line: str
) -> None:
    with (app_dir / "function_app.py").open("a") as file:
        file.write(LOGS_A_REQUEST)
    async with run(app_dir, **selecting(model)) as command:
        await command.ready()
    assert line in command.output.splitlines()


@pytest.mark.parametrize("ending", ["restart", "ctrl-c"])
async def test_a_stream_that_is_cut_off_by_the_service_is_shown_as_interrupted(
    app_dir: Path, model: ModelServer, ending: str
) -> None:
    model.respond_with(stalls_after(event(OPENAI[0])))
    async with make_run(app_dir, "PORT=0", **selecting(model)) as command, streaming(await command.ready()):
        if ending == "restart":
            (app_dir / "function_app.py").touch()
        else:
            command.press_ctrl_c()
        await command.prints(r"200  interrupted after 1 chunk  \d")
    assert "client disconnected" not in command.output


async def test_make_takes_the_port_from_the_environment_too(app_dir: Path, model: ModelServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with make_run(app_dir, PORT=port, **selecting(model)) as command:
            await command.ends()
        assert f"Cannot listen on port {port}" in command.output
        async with make_run(app_dir, "PORT=0", PORT=port, **selecting(model)) as command:
            assert await command.ready() != int(port)


async def test_make_takes_the_model_from_its_command_line_only_and_says_so(app_dir: Path, model: ModelServer) -> None:
    async with make_run(app_dir, "PORT=0", MODEL="a b", **selecting(model)) as command:
        await command.ready()
    assert 'MODEL in the environment is not used. To use it: make run MODEL="a b"\r\n' in command.output
    async with make_run(app_dir, "MODEL=a b.gguf", **selecting(model)) as command:
        await command.ends()
    assert "error: there is no file a b.gguf\r\n" in command.output


async def test_the_banner_is_short(app_dir: Path, model: ModelServer) -> None:
    async with python_m_local(app_dir, **selecting(model)) as command:
        url = f"http://localhost:{await command.ready()}"
    lines = [line for line in command.output.splitlines() if line]
    assert lines[:2] == [f"Open {url}/api/chat", f"OpenAI clients: base URL {url}/api/v1"]
    assert lines[-2:] == ["Try it:", f"  curl -N {url}/api/chat -H 'content-type: application/json' -d '{QUESTION_TEXT}'"]
    assert len(lines) < 10


@pytest.mark.parametrize("run", [make_run, python_m_local], ids=["terminal", "pipe"])
async def test_a_request_that_no_function_handles_is_a_line(app_dir: Path, model: ModelServer, run: Run) -> None:
    async with (
        run(app_dir, *(["PORT=0"] if run is make_run else []), **selecting(model)) as command,
        aiohttp.ClientSession(f"http://localhost:{await command.ready()}") as session,
        session.post("/api/chatt?code=secret", json=QUESTION) as response,
    ):
        assert response.status == 404
        await command.prints(r"404  no function for POST /api/chatt\r?\n")
    assert "secret" not in command.output
    assert command.output.count("404") == 1


async def test_requests_fail_at_once_until_the_app_can_be_loaded_again(app_dir: Path, model: ModelServer) -> None:
    model.respond_with(streams(OPENAI))
    file = app_dir / "function_app.py"
    before = file.read_text()
    async with python_m_local(app_dir, **selecting(model)) as command:
        port = await command.ready()
        file.write_text("undefined")
        await command.prints(r"Waiting for a change\.\n")
        for _ in range(2):
            async with asyncio.timeout(SOON):
                with pytest.raises(aiohttp.ClientError):
                    await post(port)
        file.write_text(before)
        await command.prints("Restarted")
        assert await post(port) == OPENAI


def test_make_verify_takes_the_port_as_make_run_does(app_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    for options, environment in [([], {"PORT": port}), ([f"PORT={port}"], {"PORT": "1"})]:
        command = ["make", "verify", *options]
        # Without what `make test` passes on to each `make` below it.
        variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | environment
        done = subprocess.run(command, cwd=app_dir, env=variables, capture_output=True, text=True, check=False)
        assert done.stdout.startswith(f"Checking http://localhost:{port}\n")


def test_the_functions_are_listed_with_their_routes() -> None:
    command = [sys.executable, "-m", "local.functions"]
    lines = subprocess.run(command, cwd=APP_DIR, capture_output=True, text=True, check=True).stdout.splitlines()
    assert re.fullmatch(r"POST +/api/chat +chat", lines[0])
    assert any(re.fullmatch(r"GET,HEAD +/api/openapi\.json +openapi", line) for line in lines)


async def test_the_help_documents_the_options(app_dir: Path) -> None:
    async with python_m_local(app_dir, "--help") as command:
        assert await command.ends() == 0
    for option in ["--port", "--model"]:
        assert option in command.output
