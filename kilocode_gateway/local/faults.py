"""What can go wrong between the reply and the client, and how a reply is written with it."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, TypedDict

from kilocode_gateway.local.connection import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kilocode_gateway.local.connection import Connection

_EVENT_END = re.compile(rb"\r?\n\r?\n")


class RawModifiers(TypedDict, total=False):
    """The keyword arguments that every way to make a reply takes; `Faults` tells what each does."""

    delay: float
    chunk_delay: float | None
    split: int | Literal["event"] | None
    drop: bool | Literal["reset"]
    head_bytes: int | None
    cut_after: int | None
    end_after: int | None
    reset_after: int | None
    half_close_after: int | None
    stall_after: int | None
    stall: float
    keep_alive: float | None
    content_type: str | None
    content_length: int | None
    transfer: Literal["chunked", "length", "close"] | None
    close: bool
    prefix: str | bytes
    garbage: str | bytes | Sequence[str | bytes] | None
    newline: str
    gzip: bool | Literal["lie"]


class Modifiers(RawModifiers, total=False):
    """The same where headers are no argument of their own."""

    headers: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Faults:
    """Delays and faults of one reply. Byte counts are of the body, whatever its transfer coding."""

    delay: float = 0.0
    """Seconds of silence before the status line."""
    chunk_delay: float | None = None
    """Seconds between two events of a stream, each written by itself."""
    split: int | Literal["event"] | None = None
    """Bytes in each write (1: every byte by itself), or "event": each event by itself; one large write unless given."""
    drop: bool | Literal["reset"] = False
    """Close the connection instead of answering, or "reset": with an RST."""
    head_bytes: int | None = None
    """Write so many bytes of the status line and the headers, and then do what `drop` says, or close."""
    cut_after: int | None = None
    """Close the connection after so many bytes."""
    end_after: int | None = None
    """End the body in good order after so many bytes."""
    reset_after: int | None = None
    """Reset the connection (RST) after so many bytes."""
    half_close_after: int | None = None
    """End the server's half of the connection after so many bytes, and go on listening."""
    stall_after: int | None = None
    """Fall silent after so many bytes, for `stall` seconds, then go on."""
    stall: float = 60.0
    keep_alive: float | None = None
    """Seconds between comments during a stall; none unless given."""
    headers: Mapping[str, str | None] | None = None
    """More headers; one of the same name is replaced, one with None left out."""
    content_type: str | None = None
    content_length: int | None = None
    """The length that the header claims."""
    transfer: Literal["chunked", "length", "close"] | None = None
    """How the body's end is told: streams are chunked, everything else has a length, unless given."""
    close: bool = False
    """Answer with `connection: close` and close after it."""
    prefix: str | bytes = b""
    """Bytes before the body."""
    garbage: str | bytes | Sequence[str | bytes] | None = None
    """Bytes after each event of a stream, or a list of them, one after each of the first events."""
    newline: str = "\n"
    """The line end of events."""
    gzip: bool | Literal["lie"] = False
    """Compress the body, or "lie": say so and do not."""

    def __post_init__(self) -> None:
        if isinstance(self.split, int) and self.split < 1:
            raise ValueError(f"expected split of at least 1 byte, got {self.split}")

    def marks(self) -> list[tuple[int, str]]:
        """List what happens after how many bytes, in order."""
        found = [
            (count, field_.name.removesuffix("_after"))
            for field_ in fields(self)
            if field_.name.endswith("_after") and (count := getattr(self, field_.name)) is not None
        ]
        return sorted(found)


NO_FAULTS = Faults()


@dataclass(slots=True)
class Rendered:
    """A reply ready to be written: the body in pieces, of which a stream has one for each event."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)

    @property
    def streams(self) -> bool:
        """Whether it is a stream of events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")


def deliver(connection: Connection, reply: Rendered, faults: Faults) -> bool:
    """Write a reply.

    Returns:
        Whether the connection stays open for the next request.

    Raises:
        ClientGoneError: The client left before it was all written.

    """
    if faults.delay:
        connection.pause(faults.delay)
    reply, transfer = _shape(reply, faults)
    head = _head(reply, faults, transfer)
    if faults.drop or faults.head_bytes is not None:
        return _hang_up(connection, head[: faults.head_bytes or 0], reset=faults.drop == "reset")
    keep_open = not (faults.close or transfer == "close" or faults.content_length is not None)
    marks = faults.marks()
    if not marks and not faults.split and not faults.chunk_delay:
        body = b"".join(reply.pieces)
        connection.send(head + (_frame(body) + b"0\r\n\r\n" if transfer == "chunked" else body))
        return keep_open
    connection.send(head)
    for step in _steps(reply.pieces, marks, faults):
        if isinstance(step, bytes):
            connection.send(_frame(step) if transfer == "chunked" else step)
        elif isinstance(step, float):
            connection.pause(step)
        elif not _fault(connection, step, faults, chunked=transfer == "chunked"):
            return False
        elif step == "end":
            break
    if transfer == "chunked":
        connection.send(b"0\r\n\r\n")
    return keep_open and faults.end_after is None


def _hang_up(connection: Connection, head: bytes, *, reset: bool) -> bool:
    if head:
        connection.send(head)
    if reset:
        connection.reset()
    else:
        connection.close()
    return False


def _steps(pieces: list[bytes], marks: list[tuple[int, str]], faults: Faults) -> Iterator[bytes | float | str]:
    """Give what to write (bytes), how long to wait (seconds) and which fault comes (its name), in order."""
    position = 0
    size = faults.split if isinstance(faults.split, int) else None
    for index, piece in enumerate(pieces):
        if index and faults.chunk_delay:
            yield float(faults.chunk_delay)
        start = 0
        while start < len(piece):
            while marks and marks[0][0] <= position:
                yield marks.pop(0)[1]
            end = min(len(piece), start + (size or len(piece)))
            if marks:
                end = min(end, start + marks[0][0] - position)
            yield piece[start:end]
            position += end - start
            start = end
    for _, name in marks:
        yield name


def _fault(connection: Connection, name: str, faults: Faults, *, chunked: bool) -> bool:
    """Let a fault happen; say whether the reply goes on."""
    if name == "end":
        return True
    if name == "stall":
        remaining = faults.stall
        while faults.keep_alive and remaining > faults.keep_alive:
            connection.pause(faults.keep_alive)
            remaining -= faults.keep_alive
            comment = b": KILO PROCESSING\n\n"
            connection.send(_frame(comment) if chunked else comment)
        connection.pause(remaining)
        return True
    if name == "half_close":
        connection.half_close()
        try:
            connection.pause(30)
        except ClientGoneError:
            return False
    if name == "reset":
        connection.reset()
    else:
        connection.close()
    return False


def _frame(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _shape(reply: Rendered, faults: Faults) -> tuple[Rendered, str]:
    """Apply the faults that change bytes and headers; say how the body's end will be told."""
    headers = dict(reply.headers)
    pieces = _pieces(reply, faults)
    if faults.content_type is not None:
        headers["content-type"] = faults.content_type
    if faults.gzip:
        headers["content-encoding"] = "gzip"
    chunked = reply.streams and faults.content_length is None
    transfer: str = faults.transfer or ("chunked" if chunked else "length")
    if reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        pieces, transfer = [], "none"
    for name, value in (faults.headers or {}).items():
        headers.pop(name.lower(), None)
        if value is not None:
            headers[name.lower()] = value
    return Rendered(reply.status, headers, pieces), transfer


def _pieces(reply: Rendered, faults: Faults) -> list[bytes]:
    pieces = list(reply.pieces)
    if reply.streams:
        if len(pieces) == 1 and (faults.split or faults.chunk_delay or faults.garbage):
            pieces = split_events(pieces[0])
        if faults.newline != "\n":
            pieces = [piece.replace(b"\n", faults.newline.encode()) for piece in pieces]
    if faults.garbage is not None:
        pieces = _with_garbage(pieces, faults.garbage)
    if faults.prefix:
        pieces.insert(0, _bytes(faults.prefix))
    return [gzip.compress(b"".join(pieces))] if faults.gzip is True else pieces


def _with_garbage(pieces: list[bytes], garbage: str | bytes | Sequence[str | bytes]) -> list[bytes]:
    if isinstance(garbage, (str, bytes)):
        return [part for piece in pieces for part in (piece, _bytes(garbage))]
    each = [_bytes(part) for part in garbage]
    found = []
    for index, piece in enumerate(pieces):
        found.append(piece)
        if index < len(each) and each[index]:
            found.append(each[index])
    return found


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def split_events(body: bytes) -> list[bytes]:
    """Cut the bytes of a stream behind each event."""
    found, start = [], 0
    for match in _EVENT_END.finditer(body):
        found.append(body[start : match.end()])
        start = match.end()
    return [*found, body[start:]] if start < len(body) else found


def _head(reply: Rendered, faults: Faults, transfer: str) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    headers = dict(reply.headers)
    if transfer == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif transfer == "length":
        length = sum(map(len, reply.pieces)) if faults.content_length is None else faults.content_length
        headers["content-length"] = str(length)
    if faults.close or transfer == "close":
        headers["connection"] = "close"
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
