"""Releases what Microsoft's runtime keeps of each invocation: 2 KB, with which half a million requests fill an instance.

See https://github.com/Azure/azure-functions-python-worker/pull/1877.
"""

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_KNOWN_VERSIONS = {"1.3.0"}


def release_invocation(invocation_id: str) -> None:
    """Releases an invocation whose response has ended; does nothing if the runtime is not a known one."""
    if (kept := _kept_invocations()) is not None:
        kept.pop(invocation_id, None)


@cache
def _kept_invocations() -> dict[str, Any] | None:
    try:
        if version("azure-functions-runtime") not in _KNOWN_VERSIONS:
            return None
    except PackageNotFoundError:
        return None
    coordinator = getattr(sys.modules.get("azure_functions_runtime.http_v2"), "http_coordinator", None)
    kept = getattr(coordinator, "_context_references", None)
    return kept if isinstance(kept, dict) else None
