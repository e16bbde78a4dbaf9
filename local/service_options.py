"""What the supervisor passes to the process that serves, as JSON. The settings are in that process's environment."""

from pydantic import BaseModel

from local.upstream import Upstream


class ServiceOptions(BaseModel):
    """How to serve. `listener` is the file descriptor of the socket to listen on."""

    listener: int
    upstream: Upstream
    restarted: bool
    per_instance_concurrency: int | None
