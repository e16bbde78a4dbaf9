"""The limit of what a builder keeps of a streamed completion until its end."""

from chat.errors import InvalidResponse

ITEM_BYTES = 1024
"""What an item or a content part counts in addition to its text: roughly the memory that its objects take."""

_MAX_KEPT_BYTES = 16 * 1024 * 1024


class KeptBytes:
    """Counts what is kept of one completion."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, size: int) -> None:
        """Adds bytes; raises `InvalidResponse` when there are too many."""
        self._count += size
        if self._count > _MAX_KEPT_BYTES:
            raise InvalidResponse(f"a completion of more than {_MAX_KEPT_BYTES} bytes")
