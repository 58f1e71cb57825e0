"""One piece of work that many threads and event loops wait for: it ends once, for all of them, and nobody hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from kilocode_gateway.flights import Flight

if TYPE_CHECKING:
    import pytest


SOON = 30.0
"""Seconds that nobody waits who does not have to wait for 60."""


def after(seconds: float, do: object) -> threading.Timer:
    timer = threading.Timer(seconds, do)  # type: ignore[arg-type]
    timer.daemon = True
    timer.start()
    return timer


def test_threads_and_loops_wait_for_the_same_result() -> None:
    flight: Flight[str] = Flight(60.0)

    async def many() -> list[str | None]:
        await asyncio.gather(*(flight.wait_async(60.0) for _ in range(20)))
        return [flight.result()]

    def one() -> list[str | None]:
        flight.wait(60.0)
        return [flight.result()]

    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(one) for _ in range(10)] + [pool.submit(lambda: asyncio.run(many())) for _ in range(2)]
        time.sleep(0.05)
        assert not flight.done
        assert flight.result() is None
        landed = time.monotonic()
        assert flight.land("done")
        assert [found for one_ in waiting for found in one_.result(60.0)] == ["done"] * 12
        assert time.monotonic() - landed < SOON, "a loop was not woken"


def test_it_ends_once() -> None:
    flight: Flight[str] = Flight(5.0)
    assert flight.land("first")
    assert not flight.land("second")
    flight.abandon()
    assert flight.result() == "first"


def test_an_abandoned_one_is_done_without_a_result() -> None:
    flight: Flight[str] = Flight(60.0)
    after(0.05, flight.abandon)
    began = time.monotonic()
    flight.wait(60.0)
    assert time.monotonic() - began < SOON
    assert flight.done
    assert flight.result() is None
    assert not flight.land("too late")


def test_nobody_waits_longer_than_he_wants() -> None:
    flight: Flight[str] = Flight(60.0)
    began = time.monotonic()
    flight.wait(0.05)
    asyncio.run(flight.wait_async(0.05))
    assert time.monotonic() - began < SOON
    assert not flight.done
    assert flight.land("later")


def test_one_that_has_ended_is_not_waited_for() -> None:
    flight: Flight[str] = Flight(5.0)
    flight.land("done")
    began = time.monotonic()
    flight.wait(60.0)
    asyncio.run(flight.wait_async(60.0))
    assert time.monotonic() - began < SOON


def test_the_event_loop_runs_on_while_one_waits() -> None:
    flight: Flight[str] = Flight(60.0)

    async def beats() -> None:
        waiting = asyncio.create_task(flight.wait_async(60.0))
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not waiting.done()
        flight.land("done")
        await waiting

    began = time.monotonic()
    asyncio.run(beats())
    assert time.monotonic() - began < SOON


def test_a_cancelled_waiter_takes_nobody_along() -> None:
    flight: Flight[str] = Flight(60.0)

    async def both() -> str | None:
        leaving, staying = (asyncio.create_task(flight.wait_async(60.0)) for _ in range(2))
        await asyncio.sleep(0.02)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert not flight.done
        flight.land("done")
        await staying
        return flight.result()

    assert asyncio.run(both()) == "done"


def test_a_loop_that_closed_in_the_meantime_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    flight: Flight[str] = Flight(5.0)
    asyncio.run(flight.wait_async(0.01))
    assert flight.land("nobody there")
    assert caplog.messages == []


def test_the_time_that_is_left() -> None:
    flight: Flight[str] = Flight(60.0)
    assert not flight.overdue
    assert 30 < flight.seconds_left <= 60
    over: Flight[str] = Flight(0.01)
    time.sleep(0.02)
    assert over.overdue
    assert over.seconds_left > 0, "0 would be no time limit at all"
