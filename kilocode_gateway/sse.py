"""Turns the bytes of an event stream into dicts, without any I/O: sync and async callers drive the same decoder."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

OBJECT = b"data: {"
"""How an event begins that is one line with a JSON object."""
PREVIEW_BYTES = 4000
"""Bytes of what is no JSON that are passed on: more than is shown, as a secret in it is hidden before it is cut."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class NotJSONError(ValueError):
    """The data of an event is not a JSON object. Its beginning is the message."""


class EventDecoder:
    """Collects bytes, gives the events that they complete, and reads the JSON object of each.

    Comments, `event:` and other fields, blank events and garbage lines are skipped, as the standard for event streams
    says. Line ends may be LF, CRLF or CR, and the bytes may be split anywhere.
    """

    DONE: Final = b"[DONE]"

    def __init__(self) -> None:
        self.done = False
        """Whether the stream said `[DONE]`."""
        self._parts: list[bytes] = []
        self._last = b""
        self._carriage_return = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and give the events that are complete now, each as its lines for `read`."""
        if self._carriage_return or data.find(b"\r") >= 0:
            data = self._with_line_feeds(data)
        if not data:
            return []
        parts = self._parts
        if not parts and data.find(b"\n") == len(data) - 2 and data.endswith(b"\n\n"):
            # One event of one line, as most servers write them.
            return [data[:-2]]
        if parts:
            boundary = b"\n\n" in data or (data[:1] == b"\n" and self._last == b"\n")
            self._last = data[-1:]
            parts.append(data)
            if not boundary:
                return []
            data = b"".join(parts)
            parts.clear()
        events = data.split(b"\n\n")
        rest = events.pop()
        if rest:
            parts.append(rest)
            self._last = rest[-1:]
        return events

    def read(self, event: bytes) -> dict[str, Any] | None:
        """Give the object of an event; None when it brings none.

        Raises:
            NotJSONError: If the event's data is neither a JSON object nor `[DONE]`.

        """
        if event.startswith(OBJECT) and b"\n" not in event:
            return _object(event[6:])
        if not event or (event.startswith(b":") and b"\n" not in event):
            return None
        fields = event.removeprefix(BYTE_ORDER_MARK).split(b"\n")
        lines = [line[6:] if line.startswith(b"data: ") else line[5:] for line in fields if line.startswith(b"data:")]
        data = b"\n".join(lines).strip()
        if not data:
            return None
        if data == self.DONE:
            self.done = True
            return None
        return _object(data)

    def close(self) -> dict[str, Any] | None:
        """Give the object of a last event that only lacks its blank line; what is incomplete is dropped."""
        rest = b"".join(self._parts)
        self._parts.clear()
        with contextlib.suppress(NotJSONError):
            return self.read(rest)
        return None

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._carriage_return:
            data = b"\r" + data
        self._carriage_return = data.endswith(b"\r")
        if self._carriage_return:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotJSONError(data[:PREVIEW_BYTES].decode("utf-8", "replace"))
    return found
