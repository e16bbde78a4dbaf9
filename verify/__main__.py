"""Checks a running instance against the contract, and prints a line per check: `make verify [PORT=…] [URL=…] [KEY=…]`."""

import argparse
import asyncio
import os
import socket
import ssl
import sys
from time import monotonic

import httpx2
import openai

from verify.checks import CHECKS, Check
from verify.faults import fault_checks
from verify.instance import CheckFailed, CheckSkipped, Instance

_CHECK_SECONDS = 150
_WIDTH = 60


def main() -> None:
    """Exits with 1 if a check fails, and with 2 if the instance cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m verify", description=__doc__)
    parser.add_argument("--url", default="", help="the address of the instance, without a path")
    parser.add_argument("--port", type=int, default=7071, help="its port, if it runs on this machine and there is no --url")
    parser.add_argument("--key", default="", help="its function key")
    parser.add_argument("--api-key", default="", help="one of its CHAT_API_KEYS, for the v1 routes")
    parser.add_argument(
        "--fake-model-port",
        type=int,
        metavar="PORT",
        help="start the fake model server on this port, which is the instance's OPENAI_BASE_URL, and check every fault, too",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="run only the checks whose names contain this text")
    options = parser.parse_args()
    instance = Instance(options.url or f"http://localhost:{options.port}", options.key, options.api_key)
    sys.exit(asyncio.run(_verify(instance, options.fake_model_port, options.only)))


async def _verify(instance: Instance, fake_model_port: int | None, only: str) -> int:
    checks = dict(CHECKS)
    if fake_model_port:
        checks |= await fault_checks(fake_model_port)
    checks = {name: check for name, check in checks.items() if only in name}
    print(f"Checking {instance.url}\n", flush=True)
    try:
        await instance.get("openapi.json")
    except httpx2.TransportError as error:
        print(f"It cannot be reached: {_cause(error)}.")
        if instance.url.startswith("http://localhost:"):
            print("If the service has another port: make verify PORT=7072")
        return 2
    started = monotonic()
    outcomes = [await _run(name, check, instance) for name, check in checks.items()]
    passed, failed, skipped = (outcomes.count(outcome) for outcome in ("ok", "FAIL", "–"))
    print(
        f"\n{passed} of {len(checks)} checks passed, {failed} failed, {skipped} skipped, in {monotonic() - started:.0f} s."
    )
    return 1 if failed else 0


def _cause(error: BaseException) -> str:
    """The innermost reason of the operating system or of TLS for an error, or the name of its class."""
    cause = type(error).__name__
    inner: BaseException | None = error
    while inner:
        match inner:
            case ssl.SSLCertVerificationError():
                cause = f"its certificate is not valid ({inner.verify_message})"
            case ssl.SSLError():
                cause = "it does not speak TLS"
            case socket.gaierror(strerror=str(reason)):
                cause = reason.lower()
            case OSError(errno=int(number)):
                cause = os.strerror(number).lower()
        # An address for which several connections were tried has a group of errors.
        inner = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner.__cause__ or inner.__context__
    return cause


async def _run(name: str, check: Check, instance: Instance) -> str:
    """Runs a check, prints its line, and returns its outcome."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            outcome, result = "ok", await check(instance)
    except CheckFailed as failure:
        outcome, result = "FAIL", str(failure)
    except CheckSkipped as reason:
        outcome, result = "–", f"skipped: {reason}"
    except openai.AuthenticationError as error:
        required = error.code == "invalid_api_key" and not instance.api_key
        outcome, result = ("–", "skipped: API_KEY is required") if required else ("FAIL", str(error))
    except TimeoutError:
        outcome, result = "FAIL", f"no result within {_CHECK_SECONDS} s"
    except (httpx2.HTTPError, openai.OpenAIError, ValueError, LookupError, TypeError) as error:
        outcome, result = "FAIL", f"{type(error).__name__}: {error}"
    print(f"  {outcome:<5} {name:<{_WIDTH}}  {result}", flush=True)
    return outcome


if __name__ == "__main__":
    main()
