"""Reads the body of a successful answer while it arrives, sync and async, under the call's time limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import (
    ConnectionFailedError,
    KiloCodeError,
    MalformedReplyError,
    StreamInterruptedError,
    TimeoutExceededError,
)
from kilocode_gateway.loops import forget

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping

    from kilocode_gateway.clients import LentClient
    from kilocode_gateway.error_texts import Context
    from kilocode_gateway.loops import Listed, Unlisted
    from kilocode_gateway.policy import Deadline


MOST_BYTES = 512 * 1024 * 1024
"""How large an answer may become, decompressed: far more than any model writes, far less than fills a machine."""


class OpenAnswer:
    """A successful answer whose body is still arriving; its first bytes are here.

    Args:
        response: The HTTP library's response.
        chunks: The rest of its body.
        first: The first bytes; None when the body is empty.
        context: What was asked.
        watch: Who watches the clock meanwhile.
        error: What the first bytes came to, where they could not be read.

    """

    __slots__ = ("_chunks", "_error", "_first", "_process", "_response", "_watch", "context", "headers", "status")

    def __init__(
        self,
        response: Any,
        chunks: Iterator[bytes],
        first: bytes | None,
        context: Context,
        *,
        watch: Watch,
        error: KiloCodeError | None = None,
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.context = context
        self._response = response
        self._chunks = chunks
        self._first = first
        self._watch = watch
        self._error = error
        self._process = os.getpid()

    def chunks(self) -> Generator[bytes, None, None]:
        """Give the body as it arrives.

        Raises:
            StreamInterruptedError: If the connection breaks.
            TimeoutExceededError: If the next bytes take longer than the read limit, or the call's time is up.
            MalformedReplyError: If the bytes cannot be decoded, or are more than `MOST_BYTES`.

        """
        error = self._error
        if error is None and self._first is not None:
            size = len(self._first)
            yield self._first
            try:
                for chunk in self._watched_chunks() if self.context.deadline.is_set else self._chunks:
                    size += len(chunk)
                    if size > MOST_BYTES:
                        error = too_large(self.context)
                        break
                    yield chunk
            except request_errors() as exc:
                error = too_late(self.context) if self._watch.has_hung_up else broken(exc, self.context)
        if error is not None:
            raise error

    def _watched_chunks(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self.context.deadline.is_over:
                raise too_late(self.context)
            yield chunk
        # The connection is back among the others now: whatever happens on it is another request's.
        self._watch.end()
        if self._watch.has_hung_up:
            # Where the end of a body is told by closing, its end looks like any other.
            raise too_late(self.context)

    def read(self) -> bytes:
        """Give the whole body, and close."""
        try:
            return b"".join(self.chunks())
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back, or close it when bytes are left on it."""
        self._watch.end()
        self._response.close()

    def hang_up(self) -> None:
        """End the connection under a thread that is reading from it."""
        # In a fork the connection is still the parent's, whose thread reads on.
        if self._process == os.getpid():
            _hang_up(self._response)


class AsyncOpenAnswer:
    """The async twin of `OpenAnswer`."""

    __slots__ = (
        "_chunks",
        "_closing",
        "_error",
        "_first",
        "_lent",
        "_response",
        "context",
        "has_ended",
        "headers",
        "status",
    )

    def __init__(
        self,
        response: Any,
        chunks: Listed[bytes] | Unlisted[bytes],
        first: bytes | None,
        context: Context,
        *,
        lent: LentClient,
        error: KiloCodeError | None = None,
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.context = context
        self._response = response
        self._chunks = chunks
        self._first = first
        self._lent = lent
        self._error = error
        self._closing: asyncio.Task[None] | None = None
        self.has_ended = False
        """Whether its client was given back, so that nothing is left to be closed."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the body as it arrives; raises as `OpenAnswer.chunks` does."""
        error = self._error
        if error is None and self._first is not None:
            size = len(self._first)
            yield self._first
            try:
                async for chunk in self._watched_chunks() if self.context.deadline.is_set else self._chunks:
                    size += len(chunk)
                    if size > MOST_BYTES:
                        error = too_large(self.context)
                        break
                    yield chunk
            except request_errors() as exc:
                error = broken(exc, self.context)
        if error is not None:
            raise error

    async def _watched_chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._next_in_time()) is not None:
            yield chunk

    async def _next_in_time(self) -> bytes | None:
        deadline = self.context.deadline
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline.left()):
                chunk = await anext(self._chunks, None)
                # What is at hand already never waits, and so is never interrupted.
                if not deadline.is_over:
                    return chunk
        raise too_late(self.context)

    async def read(self) -> bytes:
        """Give the whole body, and close."""
        try:
            return b"".join([chunk async for chunk in self.chunks()])
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back, or close it when bytes are left on it."""
        if self._closing is None or self._closing.cancelled():
            if self._response.is_closed:
                self._end()
                return
            # In a task of its own: an event loop that ends breaks off the generators that wait for it.
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            with contextlib.suppress(RuntimeError):
                # From the outside in; where another task is reading, closing the connection ends that.
                await self._chunks.aclose()
            await self._response.aclose()
        except asyncio.CancelledError:
            _cut(self._response)
            raise
        finally:
            self._end()

    def _end(self) -> None:
        self.has_ended = True
        self._lent.give_back()
        forget(self)


class Watch:
    """Ends a connection when the call's time is up, under a thread that may be waiting for its next bytes.

    Without a limit it does nothing.
    """

    __slots__ = ("_deadline", "_ended", "_response", "has_hung_up")

    def __init__(self, response: Any, deadline: Deadline) -> None:
        self.has_hung_up = False
        self._response = response
        self._deadline = deadline
        self._ended = threading.Event()
        if deadline.is_set:
            # Where no thread can be had, the clock is still looked at between two reads.
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._run, name="kilocode-gateway-clock", daemon=True).start()

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _run(self) -> None:
        while (left := self._deadline.left()) is not None:
            if self._ended.wait(max(left, 0.0)):
                return
            if self._deadline.is_over:
                self.has_hung_up = True
                _hang_up(self._response)
                return


def _hang_up(response: Any) -> None:
    """Shut a response's socket down: closing alone would not wake a thread that is reading from it."""
    if response.is_closed:
        # Its connection may be in use for another request by now.
        return
    _cut(response)


def _cut(response: Any) -> None:
    stream = response.extensions.get("network_stream")
    sock = stream.get_extra_info("socket") if stream is not None else None
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def request_errors() -> tuple[type[BaseException], ...]:
    """Give what an HTTP library raises when a request fails, for each library that is in use."""
    modules = (sys.modules.get("httpx2"), sys.modules.get("httpx"))
    names = ("RequestError", "InvalidURL", "StreamError")
    return tuple(getattr(module, name) for module in modules for name in names if hasattr(module, name))


def failed(exc: BaseException, context: Context) -> KiloCodeError:
    """Name what kept an answer from arriving."""
    if context.deadline.is_over:
        return too_late(context)
    names = _names(exc)
    if "TimeoutException" in names:
        advice = " Raise `timeout`, or stream the answer." if context.model else ""
        return context.make(
            TimeoutExceededError,
            f"The gateway at {context.url} did not answer{_within(exc, context)} ({type(exc).__name__}).{advice}",
            step=_step(exc),
        )
    if names & {"UnsupportedProtocol", "LocalProtocolError", "InvalidURL"}:
        return context.make(
            ConnectionFailedError, f"The request to {context.url} cannot be sent ({_reason(exc)}).", retryable=False
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return context.make(
            ConnectionFailedError,
            f"The certificate of {context.url} is not trusted, so nothing was sent ({_reason(exc)}). If a proxy or a "
            "gateway of your own signs it, set SSL_CERT_FILE to the file of its authority's certificate. Checking is "
            "never turned off.",
            retryable=False,
        )
    return context.make(
        ConnectionFailedError,
        f"The gateway at {context.url} cannot be reached, or hung up before it answered ({_reason(exc)}). "
        "Check the network, the proxy settings and the base URL.",
    )


def broken(exc: BaseException, context: Context) -> KiloCodeError:
    """Name what cut an answer that had begun."""
    if context.deadline.is_over:
        return too_late(context)
    names = _names(exc)
    if "TimeoutException" in names:
        return context.make(
            TimeoutExceededError,
            f"The answer from {context.url} stopped arriving: nothing came{_within(exc, context)} "
            f"({type(exc).__name__}). Raise `timeout`.",
            step="body",
        )
    if "DecodingError" in names:
        return context.make(
            MalformedReplyError,
            f"The answer from {context.url} cannot be decoded ({_reason(exc)}). "
            "A proxy on the way may have changed it.",
        )
    return context.make(
        StreamInterruptedError,
        f"The connection to {context.url} broke before the answer was complete ({_reason(exc)}). "
        "It is not sent again by itself, because what had arrived is paid for: ask again if you want to.",
    )


def too_late(context: Context) -> KiloCodeError:
    """Name the limit of the whole call that ran out."""
    name, seconds = context.deadline.exceeded()
    what = "had not begun" if name == "first_token_timeout" else "was not complete"
    faster = ", or choose a faster model" if context.model else ""
    return context.make(
        TimeoutExceededError,
        f"The answer from {context.url} {what} within {seconds:g} seconds, retries and waits included. "
        f"Raise `{name}`{faster}.",
        limit=name,
    )


def too_large(context: Context) -> KiloCodeError:
    """Tell of an answer that grows without end."""
    return context.make(
        MalformedReplyError,
        f"The answer from {context.url} is larger than {MOST_BYTES:,} bytes, so it was not read further. "
        "Ask for less, or stream the answer and leave it when you have enough.",
    )


def _names(exc: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(exc).__mro__}


def _reason(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _step(exc: BaseException) -> str:
    """Name the step that took too long: the libraries call their errors ConnectTimeout, ReadTimeout and so on."""
    return type(exc).__name__.removesuffix("Timeout").lower()


def _within(exc: BaseException, context: Context) -> str:
    """Name the limit that ran out."""
    seconds = (context.limits or {}).get(_step(exc))
    return " in time" if seconds is None else f" within {seconds:g} seconds"
