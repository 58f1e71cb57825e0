"""Binds the HTTP library once: shared clients, one attempt, and the retry policy around it.

httpx2 is used where it is installed, because its connection pool stays fast at a hundred requests at once; else httpx.
A client that a user hands in may be of either library.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from kilocode_gateway.clients import shared_async_client, shared_client
from kilocode_gateway.error_bodies import Context, error_from_answer
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from kilocode_gateway.config import GatewayConfig, Secret

Timeouts = dict[str, "float | None"]
"""Seconds for `connect`, `read`, `write` and `pool`, None for no limit: both libraries take this form."""

CONNECT_SECONDS = 10.0
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
    secret: Secret | None = None
    """The key, so that an answer that repeats it can be cleaned before it becomes an error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Decides, from what is known after a failed attempt, how long to wait before the next one."""

    max_retries: int = 2
    """Attempts after the first."""
    first_wait: float = 0.5
    """Seconds before the second attempt; doubled each time."""
    longest_wait: float = 8.0
    """Seconds that the doubling never exceeds."""
    longest_asked: float = 60.0
    """Seconds of waiting that the gateway may ask for; with more, the error is raised at once."""

    def wait(self, error: KiloCodeError, attempt: int, time_left: float | None = None, jitter: float | None = None) -> float | None:
        """Give the seconds to wait before trying again, or None to give up.

        Args:
            error: What the attempt came to.
            attempt: How many attempts came before it, from 0.
            time_left: The seconds that the call may still take, None for any number.
            jitter: A number from 0 to 1 that shortens the wait by up to a quarter; random unless given.

        """
        if attempt >= self.max_retries or not error.retryable:
            return None
        seconds = error.retry_after
        if seconds is None:
            part = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
            seconds = min(self.first_wait * 2**attempt, self.longest_wait) * (1 - part / 4)
        elif seconds > self.longest_asked:
            return None
        return None if time_left is not None and seconds >= time_left else seconds


def timeouts_of(timeout: object) -> Timeouts:
    """Read a time limit in any form that users of the frameworks give.

    Args:
        timeout: Seconds for each read, a pair (connect, read), a `Timeout` of httpx or httpx2, or None for no limit.

    Raises:
        ConfigurationError: If it is of another form, or negative.

    """
    if hasattr(timeout, "as_dict"):
        return cast("Timeouts", timeout.as_dict())
    connect, read = timeout if isinstance(timeout, tuple) and len(timeout) == 2 else (None, timeout)  # noqa: PLR2004 - a pair
    for seconds in (connect, read):
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0):
            msg = f"A timeout must be a positive number of seconds, a pair (connect, read), an httpx Timeout or None, got {timeout!r}."
            raise ConfigurationError(msg)
    if connect is None:
        connect = CONNECT_SECONDS if read is None else min(CONNECT_SECONDS, read)
    return {"connect": connect, "read": read, "write": read, "pool": read}


class OpenAnswer:
    """A successful answer whose body is still arriving; its first bytes are here."""

    __slots__ = ("_chunks", "_response", "context", "first", "headers", "status")

    def __init__(self, response: Any, chunks: Iterator[bytes], first: bytes | None, context: Context) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.first = first
        self.context = context
        self._response = response
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        """Give the body as it arrives.

        Raises:
            StreamInterruptedError: If the connection breaks.
            TimeoutExceededError: If the next bytes take longer than the read limit.

        """
        if self.first is None:
            return
        yield self.first
        while True:
            try:
                chunk = next(self._chunks, None)
            except request_errors() as exc:
                error = _broken(exc, self.context)
            else:
                if chunk is None:
                    return
                yield chunk
                continue
            raise error

    def read(self) -> bytes:
        """Give the whole body, and close."""
        try:
            return b"".join(self.chunks())
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back, or close it when bytes are left on it."""
        self._response.close()


class AsyncOpenAnswer:
    """The async twin of `OpenAnswer`."""

    __slots__ = ("_chunks", "_response", "context", "first", "headers", "status")

    def __init__(self, response: Any, chunks: AsyncIterator[bytes], first: bytes | None, context: Context) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.first = first
        self.context = context
        self._response = response
        self._chunks = chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives; raises as `OpenAnswer.chunks` does."""
        if self.first is None:
            return
        yield self.first
        while True:
            try:
                chunk = await anext(self._chunks, None)
            except request_errors() as exc:
                error = _broken(exc, self.context)
            else:
                if chunk is None:
                    return
                yield chunk
                continue
            raise error

    async def read(self) -> bytes:
        """Give the whole body, and close."""
        try:
            return b"".join([chunk async for chunk in self.chunks()])
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back, or close it when bytes are left on it."""
        await self._response.aclose()


def open_answer(call: Call, policy: RetryPolicy, client: Any = None) -> OpenAnswer | KiloCodeError:
    """Send a request until it succeeds or the policy gives up; the last attempt's error is given back, not raised.

    Returns when the first byte of a successful body is here; after that nothing is sent again.
    """
    attempt = 0
    while True:
        outcome = _attempt(call, client)
        wait = policy.wait(outcome, attempt) if isinstance(outcome, KiloCodeError) else None
        if wait is None:
            return outcome
        time.sleep(wait)
        attempt += 1


async def aopen_answer(call: Call, policy: RetryPolicy, client: Any = None) -> AsyncOpenAnswer | KiloCodeError:
    """Do what `open_answer` does, without blocking the event loop."""
    attempt = 0
    while True:
        outcome = await _aattempt(call, client)
        wait = policy.wait(outcome, attempt) if isinstance(outcome, KiloCodeError) else None
        if wait is None:
            return outcome
        await asyncio.sleep(wait)
        attempt += 1


def _attempt(call: Call, client: Any) -> OpenAnswer | KiloCodeError:
    """Send once. The error is given back, not raised, so that it chains nothing that holds the request."""
    client = _usable(client) or shared_client()
    response = None
    try:
        response = client.send(_request(client, call), stream=True, follow_redirects=False)
        chunks = response.iter_bytes()
        if response.is_success:
            return OpenAnswer(response, chunks, next(chunks, None), call.context)
        body = b""
        for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                break
        error = _refused(call, response, body)
    except request_errors() as exc:
        error = _failed(exc, call.context) if response is None or response.is_success else _refused(call, response, b"")
    except BaseException:
        if response is not None:
            response.close()
        raise
    if response is not None:
        response.close()
    return error


async def _aattempt(call: Call, client: Any) -> AsyncOpenAnswer | KiloCodeError:
    client = _usable(client) or await shared_async_client()
    response = None
    try:
        response = await client.send(_request(client, call), stream=True, follow_redirects=False)
        chunks = response.aiter_bytes()
        if response.is_success:
            return AsyncOpenAnswer(response, chunks, await anext(chunks, None), call.context)
        body = b""
        async for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                break
        error = _refused(call, response, body)
    except request_errors() as exc:
        error = _failed(exc, call.context) if response is None or response.is_success else _refused(call, response, b"")
    except BaseException:
        if response is not None:
            await response.aclose()
        raise
    if response is not None:
        await response.aclose()
    return error


def _request(client: Any, call: Call) -> Any:
    return client.build_request(
        call.method, call.url, headers=call.headers, content=call.content, extensions={"timeout": dict(call.timeouts)}
    )


def _usable(client: Any) -> Any:
    if client is not None and client.is_closed:
        msg = f"The HTTP client that was handed in is closed ({type(client).__module__}.{type(client).__qualname__}). Hand in an open one, or none."
        raise ConfigurationError(msg)
    return client


def request_errors() -> tuple[type[BaseException], ...]:
    """Give what an HTTP library raises when a request fails, for each library that is in use."""
    modules = (sys.modules.get("httpx2"), sys.modules.get("httpx"))
    return tuple(module.RequestError for module in modules if module is not None and hasattr(module, "RequestError"))


def _refused(call: Call, response: Any, body: bytes) -> KiloCodeError:
    if call.secret is not None:
        body = body.replace(call.secret.reveal().encode(), b"**********")
    return error_from_answer(response.status_code, response.headers, body, call.context)


def _names(exc: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(exc).__mro__}


def _reason(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _failed(exc: BaseException, context: Context) -> KiloCodeError:
    """Name what kept an answer from arriving."""
    names = _names(exc)
    if "TimeoutException" in names:
        return context.make(
            TimeoutExceededError,
            f"The gateway at {context.url} did not answer in time ({type(exc).__name__}). Raise `timeout`, or stream the answer.",
        )
    if "DecodingError" in names:
        return context.make(
            MalformedReplyError, f"The answer from {context.url} cannot be decoded ({_reason(exc)}). A proxy on the way may have changed it."
        )
    if names & {"UnsupportedProtocol", "LocalProtocolError"}:
        return context.make(ConnectionFailedError, f"The request to {context.url} cannot be sent ({_reason(exc)}).", retryable=False)
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
            TimeoutExceededError, f"The answer from {context.url} stopped arriving, and the read limit ran out ({type(exc).__name__}). Raise `timeout`."
        )
    if "DecodingError" in names:
        return context.make(
            MalformedReplyError, f"The answer from {context.url} cannot be decoded ({_reason(exc)}). A proxy on the way may have changed it."
        )
    return context.make(
        StreamInterruptedError, f"The connection to {context.url} broke before the answer was complete ({_reason(exc)}). Nothing is sent again by itself."
    )


def _get_call(config: GatewayConfig, path: str, seconds: float, errors: ErrorTable) -> Call:
    url = config.url(path)
    context = Context(url=url, authenticated=config.api_key is not None, errors=errors)
    return Call("GET", url, config.headers(), None, timeouts_of(seconds), context, config.api_key)


_ONCE = RetryPolicy(max_retries=0)


def get(config: GatewayConfig, path: str, *, timeout: float = 5.0, client: Any = None, errors: ErrorTable = ERRORS) -> Answer:
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


async def aget(config: GatewayConfig, path: str, *, timeout: float = 5.0, client: Any = None, errors: ErrorTable = ERRORS) -> Answer:  # noqa: ASYNC109 - a limit in seconds, as everywhere here
    """Do what `get` does, without blocking the event loop."""
    end = time.monotonic() + timeout
    opened = await aopen_answer(_get_call(config, path, timeout, errors), _ONCE, client)
    if isinstance(opened, KiloCodeError):
        raise opened
    parts = []
    try:
        async for chunk in opened.chunks():
            parts.append(chunk)
            if time.monotonic() > end:
                raise _too_slow(opened.context, timeout)
    finally:
        await opened.aclose()
    return Answer(opened.status, opened.headers, b"".join(parts), opened.context.url)


def _too_slow(context: Context, seconds: float) -> KiloCodeError:
    return context.make(TimeoutExceededError, f"The answer from {context.url} took longer than {seconds:g} seconds.")
