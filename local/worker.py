"""Microsoft's Python worker runtime, driven in this process as the Functions host drives it over gRPC.

Missing: gRPC, bindings other than HTTP triggers, retry policies, and what the worker logs to the host.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit

import azure_functions_runtime as runtime


class _Message(SimpleNamespace):
    """Any of the host's protobuf messages: an object with the given attributes."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's name
        return next(iter(vars(self)), None)


class _StatusResult(_Message):
    Failure, Success = 0, 1


class _BindingInfo(_Message):
    in_, out, inout = 0, 1, 2
    undefined = -1


class _ParameterBinding(_Message):
    def WhichOneof(self, _: str) -> str:  # noqa: N802 - protobuf's name
        return "data"


class _Protos:
    """The message classes, which the runtime takes from its host."""

    StatusResult = _StatusResult
    BindingInfo = _BindingInfo

    def __getattr__(self, name: str) -> type[_Message]:
        return _Message


@dataclass(frozen=True)
class HttpFunction:
    """A function with an HTTP trigger, as the runtime reports it to the host. No methods means all."""

    name: str
    function_id: str
    route: str
    methods: tuple[str, ...]
    trigger: str


class AppError(Exception):
    """The function app cannot be loaded; the message is the worker's."""


class Worker:
    """A worker with a function app in it, serving HTTP at `address`.

    There can be one in a process: the runtime keeps its state in modules.
    """

    def __init__(self, address: str, functions: list[HttpFunction], server: set[asyncio.Task[Any]]) -> None:
        self.address = address
        self.functions = functions
        self._server = server

    @classmethod
    async def start(cls, app_dir: Path) -> Self:
        """Loads `function_app.py` from the folder; raises `AppError`, with the traceback, if that fails."""
        sys.path.insert(0, str(app_dir))
        request = _Message(worker_init_request=_Message(capabilities={}, function_app_directory=str(app_dir)))
        properties = {"host": "127.0.0.1", "protos": _Protos()}
        before = asyncio.all_tasks()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the web server raises the signal of `stop` again when it has stopped
        init = await runtime.worker_init_request(_Message(request=request, properties=properties))
        if init.result.status != _StatusResult.Success:
            raise AppError(init.result.exception.stack_trace or init.result.exception.message)
        metadata = await runtime.functions_metadata_request(None)
        functions = [_http_function(function) for function in metadata.function_metadata_results or ()]
        worker = cls(init.capabilities["HttpUri"], functions, asyncio.all_tasks() - before)
        await worker._listening()
        return worker

    async def stop(self) -> None:
        """Stops the worker's web server when it has sent its responses."""
        signal.raise_signal(signal.SIGTERM)  # the web server handles it; there is no other way to stop it
        await asyncio.gather(*self._server)

    async def invoke(
        self, function: HttpFunction, invocation_id: str, route_params: Mapping[str, str], trace_parent: str = ""
    ) -> None:
        """Runs an invocation to its end. Its HTTP request, with its id, is to be sent to `address`.

        `trace_parent` is the trace that it belongs to, W3C's `traceparent`.
        """
        # The runtime reads only the route parameters of the trigger's data.
        http = _Message(method="", url="", headers={}, body=_Message(), params=route_params, query={})
        trigger = _ParameterBinding(name=function.trigger, data=_Message(http=http))
        await runtime.invocation_request(
            _Message(
                request=_Message(
                    invocation_request=_Message(
                        invocation_id=invocation_id,
                        function_id=function.function_id,
                        input_data=[trigger],
                        trigger_metadata={},
                        trace_context=_Message(trace_parent=trace_parent, trace_state="", attributes={}),
                        retry_context=_Message(retry_count=0, max_retry_count=0, exception=None),
                    )
                )
            )
        )

    async def _listening(self) -> None:
        url = urlsplit(self.address)
        while True:
            try:
                _, writer = await asyncio.open_connection(url.hostname, url.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)  # the web server starts in a task, and gives no notice
            else:
                writer.close()
                return


def _http_function(metadata: Any) -> HttpFunction:  # noqa: ANN401 - the runtime's metadata has no type
    bindings = [json.loads(binding) for binding in metadata.raw_bindings]
    trigger = next(binding for binding in bindings if binding["type"] == "httpTrigger")
    return HttpFunction(
        name=metadata.name,
        function_id=metadata.function_id,
        route=trigger.get("route") or metadata.name,
        methods=tuple(str(method).upper() for method in trigger.get("methods") or ()),
        trigger=trigger["name"],
    )
