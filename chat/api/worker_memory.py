"""Releases what Microsoft's runtime keeps of each invocation: 2 KB, with which half a million requests fill an instance.

Its `HttpCoordinator` adds an entry for each HTTP request and never removes it, as a review of the same class found:
https://github.com/Azure/azure-functions-python-worker/pull/1877.
"""

import sys
from typing import Any

_KNOWN_VERSIONS = {"1.2.1", "1.3.0"}


def release_invocations() -> None:
    """Makes the runtime remove an invocation's entry as soon as it has read the response from it, or the exception.

    The runtime does not read the entry after that. Does nothing if the runtime is not loaded, or is not a known one.
    """
    version = getattr(sys.modules.get("azure_functions_runtime.version"), "VERSION", None)
    coordinator: Any = getattr(sys.modules.get("azure_functions_runtime.http_v2"), "http_coordinator", None)
    entries = getattr(coordinator, "_context_references", None)
    pop_response = getattr(coordinator, "_pop_http_response", None)
    if version not in _KNOWN_VERSIONS or not isinstance(entries, dict) or not callable(pop_response):
        return

    def pop_response_and_entry(invocation_id: str) -> object:
        response = pop_response(invocation_id)
        entries.pop(invocation_id, None)
        return response

    coordinator._pop_http_response = pop_response_and_entry
