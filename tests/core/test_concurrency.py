"""One transport that many use at once: threads, tasks, event loops, forks."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import discovery, track_usage
from kilocode_gateway.flights import Flight
from kilocode_gateway.local import Reply
from tests.core.catalogs import discover, fetches
from tests.core.crowds import Child, OneObject, Ways
from tests.core.helpers import BODY, SLOW, transport_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kilocode_gateway.local import LocalGateway


def _asking(prompt: str) -> dict[str, Any]:
    return {**BODY, "messages": [{"role": "user", "content": prompt}]}


@pytest.fixture
def ways(gateway: LocalGateway) -> Ways:
    transport = transport_to(gateway, timeout=(60.0, 60.0))

    async def acomplete(prompt: str) -> str:
        return (await transport.acomplete(_asking(prompt))).text

    def stream(prompt: str) -> Iterator[str]:
        for delta in transport.stream(_asking(prompt)):
            yield delta.text

    async def astream(prompt: str) -> AsyncIterator[str]:
        async for delta in await transport.astream(_asking(prompt)):
            yield delta.text

    return Ways(lambda prompt: transport.complete(_asking(prompt)).text, acomplete, stream, astream)


class TestTransport(OneObject):
    pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("being_read", [False, True])
def test_a_child_that_closes_a_stream_leaves_its_parent_reading(gateway: LocalGateway, being_read: bool) -> None:
    gateway.script(Reply.text(SLOW, stall_after=3000, stall=1.5))
    pieces = transport_to(gateway).stream(BODY)
    heard = [next(pieces).text]
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: [delta.text for delta in pieces]) if being_read else None
        if being_read:
            time.sleep(0.5)
        assert Child(pieces.close).told() == "right"
        heard += reading.result(20) if reading else [delta.text for delta in pieces]
    assert "".join(heard) == SLOW


class Yielding:
    """A usage whose every look lets another thread run."""

    cost, reasoning_tokens, cache_read_tokens, cache_write_tokens = Decimal("0.001"), None, None, None

    @property
    def input_tokens(self) -> int:
        time.sleep(0)
        return 1

    output_tokens = total_tokens = input_tokens


def test_no_count_is_lost_between_threads() -> None:
    with track_usage() as tracker, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: tracker.add("acme/a", Yielding()), range(2000)))
    for spent in (tracker.total, tracker.by_model["acme/a"]):
        assert (spent.calls, spent.input_tokens, spent.output_tokens, spent.cost) == (2000, 2000, 2000, Decimal(2))


def test_a_fetch_that_is_slow_to_begin_begins_once(acme: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Flight[Any]):
        def __init__(self, seconds: float) -> None:
            time.sleep(0.3)
            super().__init__(seconds)

    def ask() -> str:
        begin.wait()
        return discover(acme).source

    begin = threading.Barrier(16)
    monkeypatch.setattr(discovery, "Flight", Slow)
    with ThreadPoolExecutor(16) as pool:
        assert {future.result(30) for future in [pool.submit(ask) for _ in range(16)]} == {"gateway"}
    assert fetches(acme) == 1
