"""Asks a local gateway in each of the transport's four ways."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kilocode_gateway.local import LocalGateway
    from kilocode_gateway.wire import Completion, Delta

KEY = "canary-7f3a-key"
MODEL = "anthropic/claude-sonnet-4.6"
SLOW = "word " * 400
_PATIENCE = 30.0
BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


def transport_to(gateway: LocalGateway, *, api_key: str | None = KEY, **settings: Any) -> Transport:
    """Make a transport to a local gateway, which tries once unless told otherwise."""
    config = GatewayConfig.resolve(base_url=gateway.base_url, api_key=api_key)
    return Transport(config, **{"max_retries": 0, "timeout": 20.0, **settings})


def eventually(condition: Callable[[], Any]) -> bool:
    """Wait until something is true, longer than any machine stands still."""
    until = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return bool(condition())


async def soon(condition: Callable[[], Any]) -> bool:
    """Do what `eventually` does, without blocking the event loop."""
    until = time.monotonic() + _PATIENCE
    # What is waited for happens in other threads.
    while not condition() and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return bool(condition())


def time_limits() -> Iterator[float]:
    """Give limits, each longer than the last, for what must strike after something else: leave at the first that did.

    So the limit is short where the machine is quick, and a machine that stands still for seconds fails nothing.
    """
    yield from (0.25, 1.0, 5.0, 25.0)
    raise AssertionError("even the longest limit struck before what had to come first")


async def complete(transport: Transport, body: Mapping[str, Any]) -> Completion:
    return transport.complete(body)


async def acomplete(transport: Transport, body: Mapping[str, Any]) -> Completion:
    return await transport.acomplete(body)


async def stream(transport: Transport, body: Mapping[str, Any]) -> Completion:
    with transport.stream(body) as pieces:
        return _checked(list(pieces), pieces.completion)


async def astream(transport: Transport, body: Mapping[str, Any]) -> Completion:
    async with await transport.astream(body) as pieces:
        return _checked([delta async for delta in pieces], pieces.completion)


def _checked(deltas: list[Delta], answer: Completion | None) -> Completion:
    """Hold what is true of every complete stream: its pieces are its answer, and only the last one closes it."""
    assert answer is not None
    assert "".join(delta.text for delta in deltas) == answer.text
    assert "".join(delta.reasoning for delta in deltas) == answer.reasoning
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert [delta.usage for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert (deltas[-1].finish_reason, deltas[-1].usage) == (answer.finish_reason, answer.usage)
    for index, call in enumerate(answer.tool_calls):
        pieces = [piece for delta in deltas for piece in delta.tool_calls if piece.index == index]
        assert [piece.id for piece in pieces] == [call.id, *[None] * (len(pieces) - 1)]
        assert [piece.name for piece in pieces if piece.name] == ([call.name] if call.name else [])
        assert "".join(piece.arguments for piece in pieces) == call.arguments
    return answer


WAYS = {"complete": complete, "acomplete": acomplete, "stream": stream, "astream": astream}
STREAMED = {"stream": stream, "astream": astream}
