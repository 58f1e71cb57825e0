"""Binds the HTTP library once: one attempt, and the retry policy around it, sync and async.

httpx2 is used where it is installed, because its connection pool stays fast at a hundred requests at once; else httpx.
A client that a user hands in may be of either library.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.clients import shared_async_client, shared_client
from kilocode_gateway.error_bodies import error_from_answer
from kilocode_gateway.error_texts import Context
from kilocode_gateway.errors import (
    ERRORS,
    ConfigurationError,
    ConnectionFailedError,
    ErrorTable,
    KiloCodeError,
    MalformedReplyError,
    StreamInterruptedError,
    TimeoutExceededError,
)
from kilocode_gateway.policy import RetryPolicy, Timeouts, timeouts_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Mapping

    from kilocode_gateway.config import GatewayConfig

_MAX_ERROR_BODY = 1_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it goes out."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    timeouts: Timeouts
    context: Context


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    url: str


class OpenAnswer:
    """A successful answer whose body is still arriving; its first bytes are here.

    Args:
        response: The HTTP library's response.
        chunks: The rest of its body.
        first: The first bytes; None when the body is empty.
        context: What was asked.
        error: What the first bytes came to, where they could not be read.

    """

    __slots__ = ("_chunks", "_error", "_first", "_response", "context", "headers", "status")

    def __init__(
        self,
        response: Any,
        chunks: Iterator[bytes],
        first: bytes | None,
        context: Context,
        error: KiloCodeError | None = None,
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.context = context
        self._response = response
        self._chunks = chunks
        self._first = first
        self._error = error

    def chunks(self) -> Generator[bytes, None, None]:
        """Give the body as it arrives.

        Raises:
            StreamInterruptedError: If the connection breaks.
            TimeoutExceededError: If the next bytes take longer than the read limit.
            MalformedReplyError: If the bytes cannot be decoded.

        """
        error = self._error
        if error is None and self._first is not None:
            yield self._first
            try:
                yield from self._chunks
            except request_errors() as exc:
                error = _broken(exc, self.context)
        if error is not None:
            raise error

    def read(self) -> bytes:
        """Give the whole body, and close."""
        try:
            return b"".join(self.chunks())
        finally:
            self.close()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be read."""
        return bool(self._response.is_closed)

    def close(self) -> None:
        """Give the connection back, or close it when bytes are left on it."""
        self._response.close()

    def hang_up(self) -> None:
        """End the connection under a thread that is reading from it; closing alone would not wake that thread."""
        stream = self._response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class AsyncOpenAnswer:
    """The async twin of `OpenAnswer`."""

    __slots__ = ("_chunks", "_error", "_first", "_response", "context", "headers", "status")

    def __init__(
        self,
        response: Any,
        chunks: AsyncGenerator[bytes, None],
        first: bytes | None,
        context: Context,
        error: KiloCodeError | None = None,
    ) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.context = context
        self._response = response
        self._chunks = chunks
        self._first = first
        self._error = error

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the body as it arrives; raises as `OpenAnswer.chunks` does."""
        error = self._error
        if error is None and self._first is not None:
            yield self._first
            try:
                async for chunk in self._chunks:
                    yield chunk
            except request_errors() as exc:
                error = _broken(exc, self.context)
        if error is not None:
            raise error

    async def read(self) -> bytes:
        """Give the whole body, and close."""
        try:
            return b"".join([chunk async for chunk in self.chunks()])
        finally:
            await self.aclose()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be read."""
        return bool(self._response.is_closed)

    async def aclose(self) -> None:
        """Give the connection back, or close it when bytes are left on it."""
        with contextlib.suppress(RuntimeError):
            # From the outside in; where another task is reading, closing the connection ends that.
            await self._chunks.aclose()
        await self._response.aclose()


def open_answer(call: Call, policy: RetryPolicy, client: Any = None) -> OpenAnswer | KiloCodeError:
    """Send a request until it succeeds or the policy gives up; the last attempt's error is given back, not raised.

    Returns when the first byte of a successful body is here; after that nothing is sent again.
    """
    attempt = 0
    while True:
        outcome = _attempt(call, client)
        if not isinstance(outcome, KiloCodeError):
            return outcome
        wait = policy.wait(outcome, attempt)
        if wait is None:
            return outcome.with_attempts(attempt + 1)
        time.sleep(wait)
        attempt += 1


async def aopen_answer(call: Call, policy: RetryPolicy, client: Any = None) -> AsyncOpenAnswer | KiloCodeError:
    """Do what `open_answer` does, without blocking the event loop."""
    attempt = 0
    while True:
        outcome = await _aattempt(call, client)
        if not isinstance(outcome, KiloCodeError):
            return outcome
        wait = policy.wait(outcome, attempt)
        if wait is None:
            return outcome.with_attempts(attempt + 1)
        await asyncio.sleep(wait)
        attempt += 1


def _attempt(call: Call, client: Any) -> OpenAnswer | KiloCodeError:
    """Send once. The error is given back, not raised, so that it chains nothing that holds the request."""
    client = shared_client() if client is None else _usable(client, is_async=False)
    response, body = None, bytearray()
    try:
        response = client.send(_request(client, call), stream=True, follow_redirects=False)
        chunks = response.iter_bytes()
        if response.is_success:
            return OpenAnswer(response, chunks, next(chunks, None), call.context)
        for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                break
        error = _refused(call, response, body)
    except request_errors() as exc:
        if response is not None and response.is_success and response.num_bytes_downloaded:
            return OpenAnswer(response, iter(()), None, call.context, _broken(exc, call.context))
        failed = response is None or response.is_success
        error = _failed(exc, call.context) if failed else _refused(call, response, body)
    except BaseException:
        if response is not None:
            response.close()
        raise
    if response is not None:
        response.close()
    return error


async def _aattempt(call: Call, client: Any) -> AsyncOpenAnswer | KiloCodeError:
    client = await shared_async_client() if client is None else _usable(client, is_async=True)
    response, body = None, bytearray()
    try:
        response = await client.send(_request(client, call), stream=True, follow_redirects=False)
        chunks = response.aiter_bytes()
        if response.is_success:
            return AsyncOpenAnswer(response, chunks, await anext(chunks, None), call.context)
        async for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                break
        error = _refused(call, response, body)
    except request_errors() as exc:
        if response is not None and response.is_success and response.num_bytes_downloaded:
            return AsyncOpenAnswer(response, chunks, None, call.context, _broken(exc, call.context))
        failed = response is None or response.is_success
        error = _failed(exc, call.context) if failed else _refused(call, response, body)
    except BaseException:
        if response is not None:
            await response.aclose()
        raise
    if response is not None:
        await response.aclose()
    return error


def _request(client: Any, call: Call) -> Any:
    extensions = {"timeout": dict(call.timeouts)}
    return client.build_request(
        call.method, call.url, headers=call.headers, content=call.content, extensions=extensions
    )


def _usable(client: Any, *, is_async: bool) -> Any:
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    if not all(hasattr(client, name) for name in ("send", "build_request", "is_closed")):
        msg = f"Expected a client of httpx or httpx2 as the HTTP client, got {kind}."
        raise ConfigurationError(msg)
    if hasattr(client, "aclose") is not is_async:
        wanted, other = ("http_async_client", "http_client") if is_async else ("http_client", "http_async_client")
        msg = f"Expected {'an async' if is_async else 'a sync'} client as {wanted}, got {kind}. Hand it in as {other}."
        raise ConfigurationError(msg)
    if client.is_closed:
        msg = f"The HTTP client that was handed in is closed ({kind}). Hand in an open one, or none."
        raise ConfigurationError(msg)
    return client


def request_errors() -> tuple[type[BaseException], ...]:
    """Give what an HTTP library raises when a request fails, for each library that is in use."""
    modules = (sys.modules.get("httpx2"), sys.modules.get("httpx"))
    names = ("RequestError", "InvalidURL", "StreamError")
    return tuple(getattr(module, name) for module in modules for name in names if hasattr(module, name))


def _refused(call: Call, response: Any, body: bytearray) -> KiloCodeError:
    return error_from_answer(response.status_code, response.headers, bytes(body), call.context)


def _names(exc: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(exc).__mro__}


def _reason(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _within(exc: BaseException, context: Context) -> str:
    """Name the limit that ran out: the libraries call their errors ConnectTimeout, ReadTimeout and so on."""
    seconds = (context.limits or {}).get(type(exc).__name__.removesuffix("Timeout").lower())
    return " in time" if seconds is None else f" within {seconds:g} seconds"


def _failed(exc: BaseException, context: Context) -> KiloCodeError:
    """Name what kept an answer from arriving."""
    names = _names(exc)
    if "TimeoutException" in names:
        advice = " Raise `timeout`, or stream the answer." if context.model else ""
        return context.make(
            TimeoutExceededError,
            f"The gateway at {context.url} did not answer{_within(exc, context)} ({type(exc).__name__}).{advice}",
        )
    if names & {"UnsupportedProtocol", "LocalProtocolError", "InvalidURL"}:
        return context.make(
            ConnectionFailedError, f"The request to {context.url} cannot be sent ({_reason(exc)}).", retryable=False
        )
    return context.make(
        ConnectionFailedError,
        f"The gateway at {context.url} cannot be reached, or hung up before it answered ({_reason(exc)}). "
        "Check the network, the proxy settings and the base URL.",
    )


def _broken(exc: BaseException, context: Context) -> KiloCodeError:
    """Name what cut an answer that had begun."""
    names = _names(exc)
    if "TimeoutException" in names:
        return context.make(
            TimeoutExceededError,
            f"The answer from {context.url} stopped arriving: nothing came{_within(exc, context)} "
            f"({type(exc).__name__}). Raise `timeout`.",
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


def _get_call(config: GatewayConfig, path: str, seconds: float, errors: ErrorTable) -> Call:
    url, key = config.url(path), config.api_key
    limits = timeouts_of(seconds)
    context = Context(
        url=url,
        authenticated=key is not None,
        errors=errors,
        reveal=key.reveal if key is not None else None,
        limits=limits,
    )
    return Call("GET", url, config.headers(), None, limits, context)


_ONCE = RetryPolicy(max_retries=0)


def get(
    config: GatewayConfig, path: str, *, timeout: float = 5.0, client: Any = None, errors: ErrorTable = ERRORS
) -> Answer:
    """Fetch a path once.

    Args:
        config: The gateway and who asks.
        path: Below the base address, or with a leading slash on its host.
        timeout: Seconds for the whole fetch.
        client: An HTTP client of httpx or httpx2, else the shared one.
        errors: The classes to raise.

    Raises:
        KiloCodeError: If the fetch fails or the answer is no success.

    """
    end = time.monotonic() + timeout
    opened = open_answer(_get_call(config, path, timeout, errors), _ONCE, client)
    if isinstance(opened, KiloCodeError):
        raise opened
    parts = []
    try:
        for chunk in opened.chunks():
            parts.append(chunk)
            if time.monotonic() > end:
                raise _too_slow(opened.context, timeout)
    finally:
        opened.close()
    return Answer(opened.status, opened.headers, b"".join(parts), opened.context.url)


async def aget(
    config: GatewayConfig,
    path: str,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 - a limit in seconds, as everywhere here
    client: Any = None,
    errors: ErrorTable = ERRORS,
) -> Answer:
    """Do what `get` does, without blocking the event loop."""
    call = _get_call(config, path, timeout, errors)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            opened = await aopen_answer(call, _ONCE, client)
            if isinstance(opened, KiloCodeError):
                raise opened
            return Answer(opened.status, opened.headers, await opened.read(), call.url)
    raise _too_slow(call.context, timeout)


def _too_slow(context: Context, seconds: float) -> KiloCodeError:
    return context.make(TimeoutExceededError, f"The answer from {context.url} took longer than {seconds:g} seconds.")
