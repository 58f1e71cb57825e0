"""However many threads, tasks, loops and processes ask for the catalog, and however they come and go: one request."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import discover, fetches, warnings_in

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SLOW = 0.4
"""Seconds that a slow answer takes."""
FAILED = Reply.raw(500, {"error": "Failed to fetch models"}, delay=SLOW)


def crowd(gateway: LocalGateway, **more: Any) -> list[Catalog]:
    """Ask from 64 threads and from 32 tasks in each of two loops at once."""
    begin = threading.Barrier(66)

    def thread() -> list[Catalog]:
        begin.wait()
        return [discover(gateway, **more)]

    def loop() -> list[Catalog]:
        async def ask() -> list[Catalog]:
            begin.wait()
            return await asyncio.gather(*(Catalog.adiscover(base_url=gateway.base_url, **more) for _ in range(32)))

        return asyncio.run(ask())

    with ThreadPoolExecutor(66) as pool:
        asked = [pool.submit(thread) for _ in range(64)] + [pool.submit(loop) for _ in range(2)]
        return [found for future in asked for found in future.result(30)]


def test_a_crowd_is_one_request(acme: LocalGateway) -> None:
    acme.script(Reply.ordinary(delay=SLOW), path="models")
    found = crowd(acme)
    assert fetches(acme) == 1
    assert len(found) == 128
    assert {each.source for each in found} == {"gateway"}
    assert len(set(map(id, found))) == 1


def test_a_crowd_that_finds_a_fresh_file_is_no_request(acme: LocalGateway, new_process: Callable[[], None]) -> None:
    discover(acme)
    new_process()
    assert {each.source for each in crowd(acme)} == {"cache"}
    assert fetches(acme) == 1


def test_a_crowd_before_a_failing_gateway_is_one_request_and_one_warning(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    acme.script(*[FAILED] * 10, path="models")
    assert {each.source for each in crowd(acme)} == {"bundled"}
    assert (fetches(acme), len(warnings_in(caplog))) == (1, 1)


def test_a_crowd_that_refreshes_at_once_is_one_request(acme: LocalGateway) -> None:
    discover(acme)
    acme.script(Reply.ordinary(delay=1.5), path="models")
    assert {each.source for each in crowd(acme, refresh=True)} == {"gateway"}
    assert fetches(acme) == 2


def test_gateways_do_not_wait_for_each_other(make_gateway: Callable[..., LocalGateway]) -> None:
    slow, quick = make_gateway(), make_gateway()
    slow.script(Reply.ordinary(delay=1.5), path="models")
    waiting = threading.Thread(target=discover, args=(slow,))
    waiting.start()
    begun = time.monotonic()
    discover(quick)
    assert time.monotonic() - begun < 1
    waiting.join()


async def longest_pause(work: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    """Give the longest time for which the loop did nothing else while it did some work, and its result."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - begun)

    watcher = asyncio.create_task(watch())
    try:
        result = await work
    finally:
        watcher.cancel()
    return longest, result


@pytest.mark.parametrize("first", ["a thread fetches already", "this task fetches"])
def test_the_loop_is_not_blocked_while_the_list_is_fetched(acme: LocalGateway, first: str) -> None:
    discover(acme)  # warms up imports and the client
    acme.script(Reply.ordinary(delay=1.0), path="models")
    thread = threading.Thread(target=discover, args=(acme,), kwargs={"refresh": True})
    if first == "a thread fetches already":
        thread.start()
        while fetches(acme) < 2:
            time.sleep(0.01)
    pause, found = asyncio.run(longest_pause(Catalog.adiscover(base_url=acme.base_url, refresh=True)))
    assert found.source == "gateway"
    assert fetches(acme) == 2
    assert pause < 0.5
    if thread.ident is not None:
        thread.join()


def test_waiting_tasks_leave_the_loops_own_threads_alone(acme: LocalGateway) -> None:
    async def main() -> float:
        asked = [asyncio.create_task(Catalog.adiscover(base_url=acme.base_url)) for _ in range(64)]
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        await asyncio.to_thread(int)
        took = time.monotonic() - begun
        await asyncio.gather(*asked)
        return took

    acme.script(Reply.ordinary(delay=1.5), path="models")
    assert asyncio.run(main()) < 0.7


@pytest.mark.parametrize("own_client", [False, True])
def test_a_cancelled_task_takes_nobody_along(acme: LocalGateway, own_client: bool) -> None:
    async def main() -> list[Catalog]:
        async with httpx.AsyncClient() as client:
            more = {"http_async_client": client} if own_client else {}
            first = asyncio.create_task(Catalog.adiscover(base_url=acme.base_url, **more))
            await asyncio.sleep(0.1)
            others = [asyncio.create_task(Catalog.adiscover(base_url=acme.base_url, **more)) for _ in range(5)]
            thread = asyncio.create_task(asyncio.to_thread(discover, acme))
            await asyncio.sleep(0.1)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await asyncio.gather(*others, thread)

    acme.script(*[Reply.ordinary(delay=SLOW)] * 2, path="models")
    found = asyncio.run(main())
    assert {each.source for each in found} == {"gateway"}
    # With the task's own client its request dies with it, and one of the others begins anew.
    assert fetches(acme) == (2 if own_client else 1)


def test_many_tasks_with_a_client_of_their_own_are_one_request(acme: LocalGateway) -> None:
    async def main() -> list[Catalog]:
        async with httpx.AsyncClient() as client:
            return await asyncio.gather(
                *(Catalog.adiscover(base_url=acme.base_url, http_async_client=client) for _ in range(20))
            )

    acme.script(Reply.ordinary(delay=SLOW), path="models")
    assert {each.source for each in asyncio.run(main())} == {"gateway"}
    assert fetches(acme) == 1


def test_a_loop_whose_threads_are_all_busy_is_not_waited_for(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()

    async def main() -> Catalog:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.run_in_executor(None, released.wait, 10)
        try:
            async with httpx.AsyncClient() as client:
                return await Catalog.adiscover(base_url=acme.base_url, timeout=0.3, http_async_client=client)
        finally:
            released.set()

    assert asyncio.run(main()).source == "bundled"
    assert len(warnings_in(caplog)) == 1


def test_who_waits_less_goes_earlier(acme: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    acme.script(Reply.ordinary(delay=1.5), path="models")
    patient: list[Catalog] = []
    thread = threading.Thread(target=lambda: patient.append(discover(acme)))
    thread.start()
    while not fetches(acme):
        time.sleep(0.01)
    begun = time.monotonic()
    hasty = discover(acme, timeout=0.2)
    assert time.monotonic() - begun < 1
    assert hasty.source == "bundled"
    thread.join()
    assert patient[0].source == "gateway"
    assert discover(acme) is patient[0]
    assert (fetches(acme), len(warnings_in(caplog))) == (1, 1)


def test_a_failure_while_the_last_is_being_told_is_told_once(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            time.sleep(0.6)

    log, slow = logging.getLogger("kilocode_gateway"), Slow()
    acme.script(Reply.raw(500, b"", delay=0.3), path="models")
    log.addHandler(slow)
    try:
        # The waiter's time is over while the thread that fetched still writes its warning.
        assert discover(acme, timeout=0.4).source == "bundled"
        until(lambda: bool(warnings_in(caplog)))
        time.sleep(0.7)
    finally:
        log.removeHandler(slow)
    assert (fetches(acme), len(warnings_in(caplog))) == (1, 1)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_discover_inside_a_loop_while_a_task_of_it_fetches_does_not_lock_up(acme: LocalGateway) -> None:
    async def main() -> Catalog:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(Catalog.adiscover(base_url=acme.base_url, http_async_client=client))
            await asyncio.sleep(0.1)
            found = discover(acme)
            await task
            return found

    acme.script(Reply.ordinary(delay=SLOW), path="models")
    begun = time.monotonic()
    assert asyncio.run(main()).source == "gateway"
    assert time.monotonic() - begun < 4


def test_five_loops_in_a_row(acme: LocalGateway) -> None:
    for _ in range(5):
        assert asyncio.run(Catalog.adiscover(base_url=acme.base_url, refresh=True)).source == "gateway"
    assert fetches(acme) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_midst_of_a_fetch_can_ask_and_keeps_what_is_known(
    make_gateway: Callable[..., LocalGateway],
) -> None:
    known, slow = make_gateway(), make_gateway()
    discover(known)
    slow.script(Reply.ordinary(delay=1.0), path="models")
    thread = threading.Thread(target=discover, args=(slow,))
    thread.start()
    until(lambda: fetches(slow) == 1)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sources = [discover(known).source, discover(slow).source]
            os.write(write_end, json.dumps(sources).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        assert json.loads(pipe.read()) == ["gateway", "gateway"]
    thread.join()
    assert (fetches(known), fetches(slow)) == (1, 2)


def test_processes_share_the_file(acme: LocalGateway) -> None:
    code = (
        "from kilocode_gateway import Catalog\n"
        f"found = Catalog.discover(base_url={acme.base_url!r})\n"
        "print(found.source, len(found))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout.split() for run in runs] == [["gateway", "10"], ["cache", "10"]]
    assert [run.stderr for run in runs] == ["", ""]
    assert fetches(acme) == 1


def test_a_process_ends_while_it_fetches_behind(acme: LocalGateway) -> None:
    acme.script(Reply.ordinary(delay=3), path="models")
    code = (
        "import asyncio\n"
        "from kilocode_gateway.catalog import Catalog\n"
        "from kilocode_gateway.config import GatewayConfig\n"
        "async def main():\n"
        f"    print(Catalog.look(GatewayConfig(base_url={acme.base_url!r})).source)\n"
        "    await asyncio.sleep(0.3)\n"
        "asyncio.run(main())"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert (done.stdout, done.stderr) == ("bundled\n", "")
    assert time.monotonic() - begun < 2.9
