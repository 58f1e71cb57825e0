"""Reads answers from the bytes that carry them: whole bodies, and streams as they arrive.

One decoder without I/O serves sync and async alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from kilocode_gateway import usage, wire
from kilocode_gateway.bodies import BLANKS, not_json, read_choices, read_payload, with_failures
from kilocode_gateway.error_bodies import error_from_payload
from kilocode_gateway.errors import KiloCodeError, MalformedReplyError, StreamInterruptedError
from kilocode_gateway.loops import Unlisted
from kilocode_gateway.sse import BYTE_ORDER_MARK, PREVIEW_BYTES, EventDecoder, NotJSONError
from kilocode_gateway.wire.merging import merged
from kilocode_gateway.wire.reply import error_in

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from kilocode_gateway.answers import AsyncOpenAnswer, OpenAnswer

_log = logging.getLogger("kilocode_gateway")

_NO_EVENTS = (b"{", b"[", b"<")
_EVENT_FIELDS = (b":", b"data", b"event", b"id", b"retry", b"\xef")
_LAST_BYTES_SECONDS = 1.0
"""How long the end of a body may take after the answer said that it is done."""


class AnswerDecoder:
    """Turns the bytes of one streamed answer into its pieces, without doing any I/O.

    The gateway sends events; some errors and some upstreams answer with one JSON object instead. The first byte that is
    no white space tells.
    """

    def __init__(self, opened: OpenAnswer | AsyncOpenAnswer, requested_model: str) -> None:
        self.reader = wire.StreamReader()
        self._repeats = wire.Repeats(self.reader)
        self.answer: wire.Completion | None = None
        """The whole answer, once it is complete."""
        self._opened = opened
        self._requested = requested_model
        self._trackers = usage.active()
        self._awaits_first = True
        self._is_left = False
        self._usage_before: dict[str, Any] | None = None
        """The usage as it was told before the bytes that were fed last."""
        self._beginning = b""
        self._events: EventDecoder | None = None
        self._json: list[bytes] | None = None

    @property
    def said_done(self) -> bool:
        """Whether the stream said `[DONE]`, so that nothing more can come."""
        return self._events is not None and self._events.done

    def feed(self, data: bytes) -> Iterable[wire.Delta]:
        """Take the next bytes and give the pieces that they complete, those of tool calls in few.

        Raises:
            KiloCodeError: If they carry an error, or are not what the protocol promises; after the pieces before it.

        """
        if self._events is None and self._json is None:
            data = self._begin(data)
        elif len(self._beginning) < PREVIEW_BYTES:
            self._beginning += data
        if self._json is not None:
            self._json.append(data)
        if self._events is None:
            return ()
        self._usage_before = self.reader.usage
        pieces: list[wire.Delta] = []
        error: KiloCodeError | None = None
        try:
            for event in self._events.feed(data):
                delta = self._repeats.read(event) or self._read_event(self._events, event)
                if delta is not None:
                    pieces.append(delta)
        except KiloCodeError as exc:
            error = forget_frames(exc)
        if pieces and self._awaits_first:
            self._awaits_first = False
            self._opened.context.deadline.first_token_came()
        if len(pieces) > 1:
            pieces = merged(pieces)
        return pieces if error is None else _ending(pieces, error)

    def _begin(self, data: bytes) -> bytes:
        """Tell by the first bytes what comes, and give them all; a part of a byte order mark tells nothing yet."""
        data = (self._beginning + data).lstrip(BLANKS)
        self._beginning = data[:PREVIEW_BYTES]
        if data.removeprefix(BYTE_ORDER_MARK).startswith(_NO_EVENTS):
            self._json = []
        elif not BYTE_ORDER_MARK.startswith(data):
            self._events = EventDecoder()
        return data

    def end(self) -> Iterator[wire.Delta]:
        """Give what is left when the bytes have ended, and the closing piece; `answer` is then there, and counted.

        Raises:
            StreamInterruptedError: If no finish reason proved that the answer is complete.
            MalformedReplyError: If the bytes are no answer at all.

        """
        if self._json is not None:
            payload = read_payload(b"".join(self._json), self._opened)
            read_choices(payload, self._opened, self._requested)
            rest: list[dict[str, Any]] = [payload]
        else:
            last = self._events.close() if self._events is not None else None
            rest = [] if last is None else [last]
        for chunk in rest:
            delta = self._read(chunk)
            self._usage_before = self.reader.usage
            if delta is not None:
                # The bytes have ended, so no time limit can run out any more.
                yield delta
        if not self.reader.is_complete and self._json is None:
            raise self._incomplete()
        self.answer = with_failures(self.reader.completion(self._requested), self._opened.context)
        usage.record(self.answer.model, self.answer.usage, self._trackers)
        yield self.reader.last()

    @property
    def is_settled(self) -> bool:
        """Whether `leave` would count nothing."""
        return self._is_left or self.answer is not None or not self.reader.has_begun

    def forget_untaken(self) -> None:
        """Forget the usage that came with the last pieces: the answer is left before all of them were taken."""
        self.reader.usage = self._usage_before

    def leave(self) -> None:
        """Count an answer that began and is left before its end: it is a call, though nobody knows what it cost."""
        if not self.is_settled:
            self._is_left = True
            begun = self.reader.completion(self._requested)
            usage.record(begun.model, begun.usage, self._trackers)

    def survives(self, error: KiloCodeError) -> bool:
        """Say whether the answer was complete before the connection broke; if not, put the text so far in the error."""
        if self.reader.is_complete:
            _log.warning("The connection broke after the answer was complete; its usage may be missing. %s", error)
            return True
        error.with_text(self.reader.text)
        return False

    def _read_event(self, events: EventDecoder, event: bytes) -> wire.Delta | None:
        try:
            chunk = events.read(event)
        except NotJSONError as exc:
            beginning = self._opened.context.clean(str(exc))[:200]
        else:
            if chunk is None:
                return None
            delta = self._read(chunk)
            self._repeats.note(event, chunk, delta)
            return delta
        raise self._error(
            MalformedReplyError, f"An event of the stream from {self._opened.context.url} is not JSON: {beginning!r}."
        )

    def _read(self, chunk: dict[str, Any]) -> wire.Delta | None:
        failed = error_in(chunk)
        if failed is not None:
            error = error_from_payload(failed, self._opened.headers, self._opened.context)
            raise error.with_text(self.reader.text)
        return self.reader.read(chunk)

    def _incomplete(self) -> KiloCodeError:
        if self._beginning and not self.reader.has_begun and not self._beginning.startswith(_EVENT_FIELDS):
            more = " and more" if len(self._beginning) >= PREVIEW_BYTES else ""
            return not_json(self._beginning, self._opened, more)
        done = " although it says that it is done" if self.said_done else ""
        return self._error(
            StreamInterruptedError,
            f"The answer from {self._opened.context.url} ended without a finish reason{done}, so it is not complete. "
            "It is not sent again by itself: ask again if you want to.",
        )

    def _error(self, kind: type[KiloCodeError], message: str) -> KiloCodeError:
        return self._opened.context.make(kind, message, status=self._opened.status).with_text(self.reader.text)


def _ending(pieces: list[wire.Delta], error: KiloCodeError) -> Iterator[wire.Delta]:
    """Give the pieces before an error, and raise it then."""
    yield from pieces
    raise error


class Stream:
    """An answer that arrives piece by piece: an iterator of `Delta` that closes its connection at the end.

    Leave the `with` block, or call `close` (from any thread), to stop early: the gateway then sees the connection close
    and stops too.
    """

    def __init__(self, opened: OpenAnswer, requested_model: str) -> None:
        self._opened = opened
        self._decoder = AnswerDecoder(opened, requested_model)
        self._first: wire.Delta | None = None
        # The generator must not know this object: dropping the last reference to it then closes the connection at once.
        self._pieces = _pieces(opened, self._decoder)

    @property
    def completion(self) -> wire.Completion | None:
        """The whole answer; None until the stream has ended."""
        return self._decoder.answer

    def begin(self) -> None:
        """Wait for the first token, and keep it for the reader.

        Raises:
            KiloCodeError: If the answer ends in an error before it.

        """
        self._first = next(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> wire.Delta:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return next(self._pieces)
        except KiloCodeError as exc:
            forget_frames(exc)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and close the connection."""
        self._first = None
        try:
            self._pieces.close()
        except ValueError:
            # Another thread is reading. It gets an error, and closes.
            self._opened.hang_up()
        else:
            self._opened.close()

    def __del__(self) -> None:
        # A stream that was opened and never read holds a connection.
        with contextlib.suppress(Exception):
            self.close()


def _pieces(opened: OpenAnswer, decoder: AnswerDecoder) -> Generator[wire.Delta, None, None]:
    chunks = opened.chunks()
    try:
        while not decoder.said_done:
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
        # What ends the body must be read, or the connection could not be used again; it does not keep anybody waiting.
        patience = threading.Timer(_LAST_BYTES_SECONDS, opened.hang_up)
        patience.daemon = True
        # Where no thread can be had, the connection is closed instead.
        with contextlib.suppress(KiloCodeError, RuntimeError):
            patience.start()
            try:
                next(chunks, None)
            finally:
                patience.cancel()
    except GeneratorExit:
        decoder.forget_untaken()
        raise
    finally:
        decoder.leave()
        chunks.close()
        opened.close()


class AsyncStream:
    """The async twin of `Stream`."""

    def __init__(self, opened: AsyncOpenAnswer, requested_model: str) -> None:
        self._opened = opened
        self._decoder = AnswerDecoder(opened, requested_model)
        self._first: wire.Delta | None = None
        self._pieces = Unlisted(_apieces(opened, self._decoder))
        self._loop = asyncio.get_running_loop()

    @property
    def completion(self) -> wire.Completion | None:
        """The whole answer; None until the stream has ended."""
        return self._decoder.answer

    async def begin(self) -> None:
        """Do what `Stream.begin` does, without blocking the event loop."""
        self._first = await anext(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> wire.Delta:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return await anext(self._pieces)
        except KiloCodeError as exc:
            forget_frames(exc)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and close the connection."""
        self._first = None
        await _close(self._pieces, self._opened)

    def __del__(self) -> None:
        # A stream that was dropped may hold a connection; only its own loop can close that.
        if not (self._opened.has_ended and self._decoder.is_settled) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_close_soon, self._loop, self._pieces, self._opened)


async def _close(pieces: Unlisted[wire.Delta], opened: AsyncOpenAnswer) -> None:
    with contextlib.suppress(RuntimeError):
        # Another task may be inside the generator; the closed connection ends it.
        await pieces.aclose()
    await opened.aclose()


_closing: set[asyncio.Task[None]] = set()


def _close_soon(loop: asyncio.AbstractEventLoop, pieces: Unlisted[wire.Delta], opened: AsyncOpenAnswer) -> None:
    task = loop.create_task(_close(pieces, opened))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def _apieces(opened: AsyncOpenAnswer, decoder: AnswerDecoder) -> AsyncGenerator[wire.Delta, None]:
    chunks = Unlisted(opened.chunks())
    try:
        while not decoder.said_done:
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
        with contextlib.suppress(KiloCodeError, TimeoutError):
            # What ends the body must be read, or the connection could not be used again.
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await anext(chunks, None)
    except GeneratorExit:
        decoder.forget_untaken()
        raise
    finally:
        decoder.leave()
        await chunks.aclose()
        await opened.aclose()


def forget_frames(error: KiloCodeError) -> KiloCodeError:
    """Forget where an error came from: those frames hold the answer, which may repeat the key."""
    error.__traceback__ = None
    return error


def count_lost(opened: OpenAnswer | AsyncOpenAnswer) -> None:
    """Count an answer that was cut while it arrived: it is paid for, though nobody knows what it cost."""
    usage.record(opened.context.model or "", None)


def read_body(body: bytes, opened: OpenAnswer | AsyncOpenAnswer, requested_model: str) -> list[wire.Completion]:
    """Read the whole answer of a request that asked for no stream, and count it.

    Raises:
        KiloCodeError: If it is an error, or not what the protocol promises.

    """
    if not body.lstrip(BLANKS).startswith(_EVENT_FIELDS[:-1]):
        answers = read_choices(read_payload(body, opened), opened, requested_model)
        usage.record(answers[0].model, answers[0].usage)
        return answers
    # A stream, although none was asked for.
    decoder = AnswerDecoder(opened, requested_model)
    try:
        _ = [*decoder.feed(body), *decoder.end()]
    finally:
        decoder.leave()
    return [decoder.answer] if decoder.answer is not None else []
