"""Binds the HTTP library once: one attempt, and the retry policy around it, sync and async.

httpx2 is used where it is installed, because its connection pool stays fast at a hundred requests at once; else httpx.
A client that a user hands in may be of either library.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.answers import AsyncOpenAnswer, OpenAnswer, Watch, broken, failed, request_errors, too_late
from kilocode_gateway.clients import LentClient, lend_async_client, shared_client
from kilocode_gateway.error_bodies import error_from_answer
from kilocode_gateway.error_texts import Context
from kilocode_gateway.errors import ERRORS, ConfigurationError, ErrorTable, KiloCodeError
from kilocode_gateway.hidden import key_in, secrets_in
from kilocode_gateway.loops import Listed, Unlisted, close_at_the_end
from kilocode_gateway.policy import Deadline, RetryPolicy, StepLimits, Timeouts, timeouts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def open_answer(call: Call, policy: RetryPolicy, client: Any = None) -> OpenAnswer | KiloCodeError:
    """Send a request until it succeeds or the policy gives up; the last attempt's error is given back, not raised.

    Returns when the first byte of a successful body is here; after that nothing is sent again.
    """
    attempt = 0
    while True:
        outcome = _attempt(call, client)
        if not isinstance(outcome, KiloCodeError):
            return outcome
        wait = policy.wait(outcome, attempt, call.context.deadline.left())
        if wait is None:
            return outcome.with_attempts(attempt + 1)
        time.sleep(wait)
        attempt += 1


async def aopen_answer(call: Call, policy: RetryPolicy, client: Any = None) -> AsyncOpenAnswer | KiloCodeError:
    """Do what `open_answer` does, without blocking the event loop."""
    attempt = 0
    while True:
        outcome = await _timed_attempt(call, client)
        if not isinstance(outcome, KiloCodeError):
            return outcome
        wait = policy.wait(outcome, attempt, call.context.deadline.left())
        if wait is None:
            return outcome.with_attempts(attempt + 1)
        await asyncio.sleep(wait)
        attempt += 1


def _attempt(call: Call, client: Any) -> OpenAnswer | KiloCodeError:
    """Send once. The error is given back, not raised, so that it chains nothing that holds the request."""
    client = shared_client() if client is None else _usable(client, call, is_async=False)
    response, body, watch = None, bytearray(), None
    limits = StepLimits(call.timeouts, call.context.deadline)
    try:
        response = client.send(_request(client, call, limits), stream=True, follow_redirects=False)
        limits.answer_began()
        watch = Watch(response, call.context.deadline)
        chunks = response.iter_bytes()
        if response.is_success:
            return OpenAnswer(response, chunks, next(chunks, None), call.context, watch=watch)
        for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                break
        error = _refused(call, response, body)
    except request_errors() as exc:
        if response is not None and watch is not None and response.is_success and response.num_bytes_downloaded:
            return OpenAnswer(response, iter(()), None, call.context, watch=watch, error=broken(exc, call.context))
        came = response is not None and not response.is_success
        error = _refused(call, response, body) if came else failed(exc, call.context)
    except BaseException:
        _let_go(response, watch)
        raise
    _let_go(response, watch)
    return error


def _let_go(response: Any, watch: Watch | None) -> None:
    if watch is not None:
        watch.end()
        response.close()


async def _timed_attempt(call: Call, client: Any) -> AsyncOpenAnswer | KiloCodeError:
    if not call.context.deadline.is_set:
        return await _aattempt(call, client)
    try:
        async with asyncio.timeout(call.context.deadline.left()) as limit:
            return await _aattempt(call, client)
    except TimeoutError:
        if not limit.expired():
            raise
    return too_late(call.context)


async def _aattempt(call: Call, client: Any) -> AsyncOpenAnswer | KiloCodeError:
    lent = await lend_async_client() if client is None else LentClient(_usable(client, call, is_async=True))
    outcome: AsyncOpenAnswer | KiloCodeError | None = None
    try:
        outcome = await _asend(call, lent)
    finally:
        if not isinstance(outcome, AsyncOpenAnswer):
            lent.give_back()
    return outcome


async def _asend(call: Call, lent: LentClient) -> AsyncOpenAnswer | KiloCodeError:
    client, response, body = lent.client, None, bytearray()
    try:
        response = await client.send(_request(client, call, call.timeouts), stream=True, follow_redirects=False)
        await lent.take_turn()
        chunks = _chunks_of(response)
        if response.is_success:
            opened = AsyncOpenAnswer(response, chunks, await anext(chunks, None), call.context, lent=lent)
            await close_at_the_end(opened)
            return opened
        async for chunk in chunks:
            body += chunk
            if len(body) > _MAX_ERROR_BODY:
                break
        await chunks.aclose()
        error = _refused(call, response, body)
    except request_errors() as exc:
        if response is not None and response.is_success and response.num_bytes_downloaded:
            return AsyncOpenAnswer(response, chunks, None, call.context, lent=lent, error=broken(exc, call.context))
        came = response is not None and not response.is_success
        error = _refused(call, response, body) if came else failed(exc, call.context)
    except BaseException:
        if response is not None:
            await response.aclose()
        raise
    if response is not None:
        await response.aclose()
    return error


def _chunks_of(response: Any) -> Listed[bytes] | Unlisted[bytes]:
    # httpx leaves the generators inside the outermost one to the loop, where httpx2 closes them itself.
    closes_all = type(response).__module__.partition(".")[0] == "httpx2"
    return (Unlisted if closes_all else Listed)(response.aiter_bytes())


def _request(client: Any, call: Call, timeouts: Mapping[str, float | None]) -> Any:
    return client.build_request(
        call.method, call.url, headers=call.headers, content=call.content, extensions={"timeout": timeouts}
    )


def _usable(client: Any, call: Call, *, is_async: bool) -> Any:
    refused = call.context.errors.get(ConfigurationError, ConfigurationError)
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    if not all(hasattr(client, name) for name in ("send", "build_request", "is_closed")):
        msg = f"Expected a client of httpx or httpx2 as the HTTP client, got {kind}."
        raise refused(msg)
    if hasattr(client, "aclose") is not is_async:
        wanted, other = ("http_async_client", "http_client") if is_async else ("http_client", "http_async_client")
        msg = f"Expected {'an async' if is_async else 'a sync'} client as {wanted}, got {kind}. Hand it in as {other}."
        raise refused(msg)
    if client.is_closed:
        msg = f"The HTTP client that was handed in is closed ({kind}). Hand in an open one, or none."
        raise refused(msg)
    return client


def _refused(call: Call, response: Any, body: bytearray) -> KiloCodeError:
    return error_from_answer(response.status_code, response.headers, bytes(body), call.context)


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
    opened = open_answer(_get_call(config, path, timeout, errors), _ONCE, client)
    if isinstance(opened, KiloCodeError):
        raise opened
    return Answer(opened.status, opened.headers, opened.read(), opened.context.url)


async def aget(
    config: GatewayConfig,
    path: str,
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 - a limit in seconds, as everywhere here
    client: Any = None,
    errors: ErrorTable = ERRORS,
) -> Answer:
    """Do what `get` does, without blocking the event loop."""
    opened = await aopen_answer(_get_call(config, path, timeout, errors), _ONCE, client)
    if isinstance(opened, KiloCodeError):
        raise opened
    return Answer(opened.status, opened.headers, await opened.read(), opened.context.url)


def _get_call(config: GatewayConfig, path: str, seconds: float, errors: ErrorTable) -> Call:
    url, headers, limits = config.url(path), config.headers(), timeouts_of(seconds)
    context = Context(
        url=url,
        authenticated=key_in(headers) is not None,
        errors=errors,
        secrets=secrets_in(headers),
        limits=limits,
        deadline=Deadline(total=seconds, name="timeout"),
    )
    return Call("GET", url, headers, None, limits, context)
