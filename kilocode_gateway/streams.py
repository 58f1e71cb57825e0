"""Reads answers from the bytes that carry them: whole bodies, and streams as they arrive.

One decoder without I/O serves sync and async alike.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from kilocode_gateway import usage, wire
from kilocode_gateway.error_bodies import error_from_payload
from kilocode_gateway.errors import KiloCodeError, MalformedReplyError, StreamInterruptedError
from kilocode_gateway.sse import EventDecoder, NotJSONError
from kilocode_gateway.wire.reply import error_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator
    from types import TracebackType
    from typing import Self

    from kilocode_gateway.http import AsyncOpenAnswer, OpenAnswer

_log = logging.getLogger("kilocode_gateway")

_BLANKS = b" \t\r\n"


class AnswerDecoder:
    """Turns the bytes of one streamed answer into its pieces, without doing any I/O.

    The gateway sends events; some errors and some upstreams answer with one JSON object instead. The first byte that is
    no white space tells.
    """

    __slots__ = ("_events", "_json", "_opened", "_requested", "reader")

    def __init__(self, opened: OpenAnswer | AsyncOpenAnswer, requested_model: str) -> None:
        self.reader = wire.StreamReader()
        self._opened = opened
        self._requested = requested_model
        self._events: EventDecoder | None = None
        self._json: list[bytes] | None = None

    def feed(self, data: bytes) -> Iterator[wire.Delta]:
        """Take the next bytes and give the pieces that they complete.

        Raises:
            KiloCodeError: If they carry an error, or are not what the protocol promises.

        """
        if self._events is None and self._json is None:
            data = data.lstrip(_BLANKS)
            if not data:
                return
            if data[:1] in (b"{", b"<", b"["):
                self._json = []
            else:
                self._events = EventDecoder()
        if self._events is None:
            self._json.append(data)  # type: ignore[union-attr]  # one of the two is set
            return
        try:
            for chunk in self._events.feed(data):
                delta = self._read(chunk)
                if delta is not None:
                    yield delta
            return
        except NotJSONError as exc:
            beginning = str(exc)
        raise self._error(MalformedReplyError, f"An event of the stream from {self._opened.context.url} is not JSON: {beginning!r}.")

    def end(self) -> Iterator[wire.Delta]:
        """Give what is left when the bytes have ended: the closing piece.

        Raises:
            StreamInterruptedError: If no finish reason proved that the answer is complete.

        """
        if self._json is not None:
            rest: list[dict[str, Any]] = [read_payload(b"".join(self._json), self._opened)]
        else:
            rest = list(self._events.close()) if self._events is not None else []
        for chunk in rest:
            delta = self._read(chunk)
            if delta is not None:
                yield delta
        if not self.reader.is_complete:
            done = " although it says that it is done" if self._events is not None and self._events.done else ""
            raise self._error(
                StreamInterruptedError,
                f"The answer from {self._opened.context.url} ended without a finish reason{done}, so it is not complete. "
                "Nothing is sent again by itself.",
            )
        yield self.reader.last()

    def survives(self, error: KiloCodeError) -> bool:
        """Say whether the answer was complete before the connection broke; if not, put the text so far into the error."""
        if self.reader.is_complete:
            _log.warning("The connection broke after the answer was complete; its usage may be missing. %s", error)
            return True
        error.with_text(self.reader.text)
        return False

    def completion(self) -> wire.Completion:
        """Give the whole answer, and count it."""
        answer = self.reader.completion(self._requested)
        usage.record(answer.model, answer.usage)
        return answer

    def _read(self, chunk: dict[str, Any]) -> wire.Delta | None:
        if "error" in chunk or chunk.get("choices"):
            failed = error_in(chunk)
            if failed is not None:
                error = error_from_payload(failed, self._opened.headers, self._opened.context)
                raise error.with_text(self.reader.text)
        return self.reader.read(chunk)

    def _error(self, kind: type[KiloCodeError], message: str) -> KiloCodeError:
        return self._opened.context.make(kind, message, status=self._opened.status).with_text(self.reader.text)


class Stream:
    """An answer that arrives piece by piece: an iterator of `Delta` that closes its connection at the end.

    Leave the `with` block, or call `close`, to stop early: the gateway then sees the connection close and stops too.
    """

    def __init__(self, opened: OpenAnswer, requested_model: str) -> None:
        self.completion: wire.Completion | None = None
        """The whole answer; None until the stream has ended."""
        self._opened = opened
        self._decoder = AnswerDecoder(opened, requested_model)
        self._pieces = self._run()

    def _run(self) -> Generator[wire.Delta, None, None]:
        decoder = self._decoder
        chunks = self._opened.chunks()
        try:
            while True:
                try:
                    data = next(chunks, None)
                except KiloCodeError as exc:
                    if decoder.survives(exc):
                        break
                    raise
                if data is None:
                    break
                yield from decoder.feed(data)
            yield from decoder.end()
            self.completion = decoder.completion()
        finally:
            self._opened.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> wire.Delta:
        return next(self._pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and close the connection."""
        self._opened.close()
        with contextlib.suppress(ValueError):
            # Another thread may be inside the generator; the closed connection ends it.
            self._pieces.close()

    def __del__(self) -> None:
        # A stream that was opened and never read holds a connection.
        with contextlib.suppress(Exception):
            self._opened.close()


class AsyncStream:
    """The async twin of `Stream`."""

    def __init__(self, opened: AsyncOpenAnswer, requested_model: str) -> None:
        self.completion: wire.Completion | None = None
        """The whole answer; None until the stream has ended."""
        self._opened = opened
        self._decoder = AnswerDecoder(opened, requested_model)
        self._pieces = self._run()

    async def _run(self) -> AsyncGenerator[wire.Delta, None]:
        decoder = self._decoder
        chunks = self._opened.chunks()
        try:
            while True:
                try:
                    data = await anext(chunks, None)
                except KiloCodeError as exc:
                    if decoder.survives(exc):
                        break
                    raise
                if data is None:
                    break
                for delta in decoder.feed(data):
                    yield delta
            for delta in decoder.end():
                yield delta
            self.completion = decoder.completion()
        finally:
            await self._opened.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> wire.Delta:
        return await anext(self._pieces)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and close the connection."""
        await self._opened.aclose()
        with contextlib.suppress(RuntimeError):
            # Another task may be inside the generator; the closed connection ends it.
            await self._pieces.aclose()


def read_payload(body: bytes, opened: OpenAnswer | AsyncOpenAnswer) -> dict[str, Any]:
    """Read a body that must be a JSON object; white space before it is the gateway's keep-alive.

    Raises:
        MalformedReplyError: If it is none.
        KiloCodeError: If the object is an error after all.

    """
    try:
        payload = json.loads(body.decode())
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        preview = body[:200].decode("utf-8", "replace").strip()
        kind = opened.headers.get("content-type", "no content type")
        msg = (
            f"The answer from {opened.context.url} is not a JSON object ({kind}, {len(body):,} bytes): {preview!r}. "
            "It may have been cut, or the base URL may lead to something that is not the gateway."
        )
        raise opened.context.make(MalformedReplyError, msg, status=opened.status, body=preview)
    failed = error_in(payload)
    if failed is not None:
        raise error_from_payload(failed, opened.headers, opened.context)
    return payload


def read_body(body: bytes, opened: OpenAnswer | AsyncOpenAnswer, requested_model: str) -> list[wire.Completion]:
    """Read the whole answer of a request that asked for no stream.

    Raises:
        KiloCodeError: If it is an error, or not what the protocol promises.

    """
    if body.lstrip(_BLANKS)[:1] not in (b"{", b"<", b"[", b""):
        decoder = AnswerDecoder(opened, requested_model)
        for _ in (*decoder.feed(body), *decoder.end()):
            pass
        return [decoder.reader.completion(requested_model)]
    payload = read_payload(body, opened)
    try:
        return wire.read_completions(payload, requested_model)
    except ValueError as exc:
        reason = str(exc)
    msg = f"The answer from {opened.context.url} has {reason}; its fields are {', '.join(payload) or 'none'}."
    raise opened.context.make(MalformedReplyError, msg, status=opened.status, body=payload)
