"""The output items of a response, built from deltas: each writes the events that OpenAI's API sends for it."""

import json
from abc import ABC, abstractmethod
from typing import NamedTuple

from chat.translation.raw_json import encode, text_of
from chat.translation.tools import Tool

IN_PROGRESS = b"in_progress"
COMPLETED = b"completed"
INCOMPLETE = b"incomplete"


class EventWriter:
    """Numbers the events of one response and keeps them until they are taken."""

    def __init__(self) -> None:
        self._taken = 0
        self._events: list[bytes] = []

    def write(self, event_type: bytes, fields: bytes) -> None:
        """Adds an event; `fields` is the JSON of its other fields."""
        number = self._taken + len(self._events)
        self._events.append(b'{"type":"%b","sequence_number":%d,%b}' % (event_type, number, fields))

    def take(self) -> list[bytes]:
        """Returns the events since the last call."""
        events, self._events = self._events, []
        self._taken += len(events)
        return events


class Item(ABC):
    """An item at its place in the output, which it takes when it opens."""

    def __init__(self, events: EventWriter, prefix: bytes, response_id: bytes, output_index: int) -> None:
        self._events = events
        self._id = b"%b_%b%d" % (prefix, response_id, output_index)
        self._output_index = output_index
        self._address = b'"item_id":"%b","output_index":%d' % (self._id, output_index)
        self._write_item(b"response.output_item.added", self.encode(IN_PROGRESS))

    def close(self, status: bytes) -> bytes:
        """Ends the item and returns it."""
        self._write_last_events()
        item = self.encode(status)
        self._write_item(b"response.output_item.done", item)
        return item

    @abstractmethod
    def encode(self, status: bytes) -> bytes:
        """Encodes the item as it is now."""

    @abstractmethod
    def _write_last_events(self) -> None: ...

    def _write_item(self, event_type: bytes, item: bytes) -> None:
        self._events.write(event_type, b'"output_index":%d,"item":%b' % (self._output_index, item))


class PartType(NamedTuple):
    """A type of content part: the type of the items that have it, the prefix of its events, and the key of its text."""

    item_type: bytes
    name: bytes
    event: bytes
    key: bytes


OUTPUT_TEXT = PartType(b"message", b"output_text", b"response.output_text", b"text")
REFUSAL = PartType(b"message", b"refusal", b"response.refusal", b"refusal")
REASONING_TEXT = PartType(b"reasoning", b"reasoning_text", b"response.reasoning_text", b"text")


class _Part:
    """A content part: its text as the body of a JSON string, its log probabilities as the elements of an array."""

    def __init__(self, part_type: PartType, address: bytes) -> None:
        self.type = part_type
        self.address = address
        self.body = bytearray()
        self.logprobs = bytearray()

    def encode(self) -> bytes:
        fields = b'"type":"%b","%b":"%b"' % (self.type.name, self.type.key, bytes(self.body))
        if self.type is OUTPUT_TEXT:
            fields += b',"annotations":[],"logprobs":[%b]' % bytes(self.logprobs)
        return b"{%b}" % fields


class ContentItem(Item):
    """A message or a reasoning item, which has its text in `encrypted_content` too if that is requested."""

    def __init__(
        self, events: EventWriter, item_type: bytes, response_id: bytes, output_index: int, *, encrypted: bool = False
    ) -> None:
        self.type = item_type
        self._encrypted = encrypted
        self._parts: list[_Part] = []
        super().__init__(events, b"msg" if item_type == b"message" else b"rs", response_id, output_index)

    def add(self, part_type: PartType, body: bytes, logprobs: bytes = b"") -> None:
        """Adds text to the last part, or to a new one if that has another type; `logprobs` are elements of an array."""
        if not self._parts or self._parts[-1].type is not part_type:
            self._open_part(part_type)
        part = self._parts[-1]
        part.body += body
        fields = b'%b,"delta":"%b"' % (part.address, body)
        if part_type is OUTPUT_TEXT:
            fields += b',"logprobs":[%b]' % logprobs
            if logprobs:
                part.logprobs += b"," + logprobs if part.logprobs else logprobs
        self._events.write(part_type.event + b".delta", fields)

    def encode(self, status: bytes) -> bytes:
        """Encodes the item as it is now."""
        fields = b'"role":"assistant"' if self.type == b"message" else b'"summary":[]'
        if self.type == b"reasoning" and self._encrypted:
            fields += b',"encrypted_content":"%b"' % b"".join([bytes(part.body) for part in self._parts])
        content = b",".join([part.encode() for part in self._parts])
        return b'{"id":"%b","type":"%b","status":"%b",%b,"content":[%b]}' % (self._id, self.type, status, fields, content)

    def _write_last_events(self) -> None:
        self._close_part()

    def _open_part(self, part_type: PartType) -> None:
        self._close_part()
        part = _Part(part_type, b'%b,"content_index":%d' % (self._address, len(self._parts)))
        self._parts.append(part)
        self._events.write(b"response.content_part.added", b'%b,"part":%b' % (part.address, part.encode()))

    def _close_part(self) -> None:
        if not self._parts:
            return
        part = self._parts[-1]
        fields = b'%b,"%b":"%b"' % (part.address, part.type.key, bytes(part.body))
        if part.type is OUTPUT_TEXT:
            fields += b',"logprobs":[%b]' % bytes(part.logprobs)
        self._events.write(part.type.event + b".done", fields)
        self._events.write(b"response.content_part.done", b'%b,"part":%b' % (part.address, part.encode()))


class CallItem(Item):
    """A call of a function or of a custom tool; without a call id it gets its own."""

    def __init__(self, events: EventWriter, tool: Tool, call_id: bytes, response_id: bytes, output_index: int) -> None:
        self._custom = tool.custom
        self._arguments = bytearray()
        if tool.custom:
            self._type, prefix = b"custom_tool_call", b"ctc"
            self._event, self._key = b"response.custom_tool_call_input", b"input"
        else:
            self._type, prefix = b"function_call", b"fc"
            self._event, self._key = b"response.function_call_arguments", b"arguments"
        call_id = call_id or b"call_%b%d" % (response_id, output_index)
        self._fields = b'"call_id":"%b","name":%b' % (call_id, encode(tool.name))
        if tool.namespace is not None:
            self._fields += b',"namespace":%b' % encode(tool.namespace)
        super().__init__(events, prefix, response_id, output_index)

    def add(self, body: bytes) -> None:
        """Adds to the arguments. The input of a custom tool is only known when they are complete."""
        self._arguments += body
        if not self._custom:
            self._events.write(self._event + b".delta", b'%b,"delta":"%b"' % (self._address, body))

    def close(self, status: bytes) -> bytes:
        """Ends the item and returns it."""
        if not self._custom and not self._arguments and status == COMPLETED:
            self.add(b"{}")  # Agent Framework loses a call without a delta
        return super().close(status)

    def encode(self, status: bytes) -> bytes:
        """Encodes the item as it is now."""
        fields = (self._id, self._type, status, self._fields, self._key, self._text())
        return b'{"id":"%b","type":"%b","status":"%b",%b,"%b":"%b"}' % fields

    def _write_last_events(self) -> None:
        text = self._text()
        if self._custom:
            self._events.write(self._event + b".delta", b'%b,"delta":"%b"' % (self._address, text))
        self._events.write(self._event + b".done", b'%b,"%b":"%b"' % (self._address, self._key, text))

    def _text(self) -> bytes:
        """The body of the arguments, or of the input in them; whatever else a model wrote for a custom tool is its input."""
        if not self._custom:
            return bytes(self._arguments)
        try:
            arguments = json.loads(text_of(bytes(self._arguments)))
        except (ValueError, RecursionError):
            arguments = None
        text = arguments.get("input") if isinstance(arguments, dict) else None
        return encode(text)[1:-1] if isinstance(text, str) else bytes(self._arguments)
