"""However many threads, tasks, loops and processes ask for the catalog, and however they come and go: one request."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.discovery import Slot
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import PATIENT, Door, discover, fetches, one_warning, warnings_in
from tests.core.helpers import eventually, soon

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = 0.4
"""Seconds that a slow answer takes."""
FAILED = Reply.raw(500, {"error": "Failed to fetch models"}, delay=SLOW)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count who has asked for a list."""
    came: list[Any] = []
    enter = Slot._enter

    def counted(slot: Slot[Any], *arguments: Any, **more: Any) -> Any:
        came.append(enter(slot, *arguments, **more))
        return came[-1]

    monkeypatch.setattr(Slot, "_enter", counted)
    return came


def crowd(gateway: LocalGateway, **more: Any) -> list[Catalog]:
    """Ask from 64 threads and from 32 tasks in each of two loops at once."""
    begin, more = threading.Barrier(66), {"timeout": PATIENT, **more}

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
        return [found for future in asked for found in future.result(PATIENT)]


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


def test_a_crowd_that_refreshes_at_once_is_one_request(
    make_gateway: Callable[..., LocalGateway], entered: list[Any]
) -> None:
    def when_all_came(_request: Any) -> None:
        assert len(entered) == 1 or eventually(lambda: len(entered) == 129)

    gateway = make_gateway(answer=when_all_came)
    discover(gateway)
    assert {each.source for each in crowd(gateway, refresh=True)} == {"gateway"}
    assert fetches(gateway) == 2


def test_gateways_do_not_wait_for_each_other(acme: LocalGateway, held: LocalGateway, door: Door) -> None:
    waiting = threading.Thread(target=discover, args=(held,), kwargs={"timeout": PATIENT})
    waiting.start()
    assert eventually(lambda: fetches(held))
    assert discover(acme).source == "gateway"
    assert waiting.is_alive()
    door.opened.set()
    waiting.join()


@pytest.mark.parametrize("first", ["a thread fetches already", "this task fetches"])
def test_the_loop_is_not_blocked_while_the_list_is_fetched(
    held: LocalGateway, door: Door, entered: list[Any], first: str
) -> None:
    """Only the loop can open the door."""

    async def ask() -> Catalog:
        asked = asyncio.create_task(Catalog.adiscover(base_url=held.base_url, timeout=20.0))
        assert await soon(lambda: fetches(held) and len(entered) > thread.is_alive())
        door.opened.set()
        return await asked

    thread = threading.Thread(target=discover, args=(held,), kwargs={"timeout": PATIENT})
    if first == "a thread fetches already":
        thread.start()
        assert eventually(lambda: fetches(held))
    assert asyncio.run(ask()).source == "gateway"
    assert fetches(held) == 1
    if thread.ident is not None:
        thread.join()


def test_waiting_tasks_leave_the_loops_own_threads_alone(held: LocalGateway, door: Door, entered: list[Any]) -> None:
    async def main() -> list[Catalog]:
        asked = [Catalog.adiscover(base_url=held.base_url, timeout=20.0) for _ in range(64)]
        found = asyncio.gather(*asked)
        assert await soon(lambda: len(entered) == 64)
        await asyncio.to_thread(door.opened.set)
        return await found

    assert {each.source for each in asyncio.run(main())} == {"gateway"}


@pytest.mark.parametrize("own_client", [False, True])
def test_a_cancelled_task_takes_nobody_along(
    held: LocalGateway, door: Door, entered: list[Any], own_client: bool
) -> None:
    async def main() -> list[Catalog]:
        async with httpx.AsyncClient() as client:
            more: dict[str, Any] = {"http_async_client": client} if own_client else {}
            more["timeout"] = PATIENT
            first = asyncio.create_task(Catalog.adiscover(base_url=held.base_url, **more))
            assert await soon(lambda: fetches(held))
            others = [asyncio.create_task(Catalog.adiscover(base_url=held.base_url, **more)) for _ in range(5)]
            thread = asyncio.create_task(asyncio.to_thread(discover, held, timeout=PATIENT))
            assert await soon(lambda: len(entered) == 7)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            door.opened.set()
            return await asyncio.gather(*others, thread)

    found = asyncio.run(main())
    assert {each.source for each in found} == {"gateway"}
    # With the task's own client its request dies with it, and one of the others begins anew.
    assert fetches(held) == (2 if own_client else 1)


def test_many_tasks_with_a_client_of_their_own_are_one_request(acme: LocalGateway) -> None:
    async def main() -> list[Catalog]:
        async with httpx.AsyncClient() as client:
            return await asyncio.gather(
                *(
                    Catalog.adiscover(base_url=acme.base_url, timeout=PATIENT, http_async_client=client)
                    for _ in range(20)
                )
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
        loop.run_in_executor(None, released.wait, PATIENT)
        try:
            async with httpx.AsyncClient() as client:
                return await Catalog.adiscover(base_url=acme.base_url, timeout=0.3, http_async_client=client)
        finally:
            released.set()

    assert asyncio.run(main()).source == "bundled"
    assert one_warning(caplog)


def test_who_waits_less_goes_earlier(held: LocalGateway, door: Door, caplog: pytest.LogCaptureFixture) -> None:
    patient: list[Catalog] = []
    thread = threading.Thread(target=lambda: patient.append(discover(held, timeout=PATIENT)))
    thread.start()
    assert eventually(lambda: fetches(held))
    assert discover(held, timeout=0.1).source == "bundled"
    assert thread.is_alive()
    door.opened.set()
    thread.join()
    assert patient[0].source == "gateway"
    assert discover(held) is patient[0]
    assert (fetches(held), len(warnings_in(caplog))) == (1, 1)


def test_a_failure_while_the_last_is_being_told_is_told_once(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            gone.wait(10)

    log, slow, gone = logging.getLogger("kilocode_gateway"), Slow(), threading.Event()
    acme.script(Reply.raw(500, b""), path="models")
    log.addHandler(slow)
    try:
        # The waiter's time is over while the thread that fetched still writes its warning.
        assert discover(acme, timeout=0.4).source == "bundled"
        gone.set()
        assert eventually(lambda: not any("-models" in thread.name for thread in threading.enumerate()))
    finally:
        log.removeHandler(slow)
    assert (fetches(acme), len(warnings_in(caplog))) == (1, 1)


def test_discover_inside_a_loop_while_a_task_of_it_fetches_does_not_lock_up(acme: LocalGateway) -> None:
    async def main() -> Catalog:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(Catalog.adiscover(base_url=acme.base_url, http_async_client=client))
            assert await soon(lambda: fetches(acme))
            found = discover(acme)
            await task
            return found

    acme.script(Reply.ordinary(delay=SLOW), path="models")
    assert asyncio.run(main()).source == "gateway"


def test_five_loops_in_a_row(acme: LocalGateway) -> None:
    for _ in range(5):
        assert asyncio.run(Catalog.adiscover(base_url=acme.base_url, refresh=True)).source == "gateway"
    assert fetches(acme) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_midst_of_a_fetch_can_ask_and_keeps_what_is_known(
    make_gateway: Callable[..., LocalGateway], door: Door
) -> None:
    known, slow = make_gateway(), make_gateway(answer=lambda _: door(_) if fetches(slow) == 1 else None)
    discover(known)
    thread = threading.Thread(target=discover, args=(slow,), kwargs={"timeout": PATIENT})
    thread.start()
    assert eventually(lambda: fetches(slow) == 1)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sources = [discover(known).source, discover(slow, timeout=PATIENT).source]
            os.write(write_end, json.dumps(sources).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        assert json.loads(pipe.read()) == ["gateway", "gateway"]
    door.opened.set()
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


def test_a_process_ends_while_it_fetches_behind(held: LocalGateway, door: Door) -> None:
    """Had it waited for its fetch, it would warn that this took too long."""
    code = (
        "import asyncio\n"
        "from kilocode_gateway.catalog import Catalog\n"
        "from kilocode_gateway.config import GatewayConfig\n"
        "async def main():\n"
        f"    print(Catalog.look(GatewayConfig(base_url={held.base_url!r})).source)\n"
        "    await asyncio.sleep(0.3)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("bundled\n", "")
    door.opened.set()
