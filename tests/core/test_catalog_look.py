"""Code that cannot wait inside an event loop gets the models at hand, and waits only where no guess will do."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from kilocode_gateway import cache, catalog, discovery
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.flights import Flight
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import Door, config_of, discover, fetches, warnings_in
from tests.core.helpers import eventually, soon

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = 0.4


def test_look_outside_a_loop_fetches_once(acme: LocalGateway) -> None:
    for _ in range(3):
        assert Catalog.look(config_of(acme)).source == "gateway"
    assert fetches(acme) == 1


def test_look_inside_a_loop_answers_at_once_and_fetches_once_behind(held: LocalGateway, door: Door) -> None:
    config = config_of(held)

    async def main() -> None:
        for _ in range(100):
            assert Catalog.look(config) is Catalog.bundled()
        door.opened.set()
        assert await soon(lambda: Catalog.look(config).source != "bundled")
        assert Catalog.look(config).source == "gateway"

    asyncio.run(main())
    assert fetches(held) == 1


def test_look_inside_a_loop_waits_for_a_model_that_nothing_at_hand_knows(acme: LocalGateway) -> None:
    acme.script(Reply.ordinary(delay=SLOW), path="models")

    async def main() -> Catalog:
        assert Catalog.look(config_of(acme), wanted="kilo/auto") is Catalog.bundled()
        return Catalog.look(config_of(acme), wanted="acme/large")

    assert asyncio.run(main()).source == "gateway"
    assert fetches(acme) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_look_inside_a_loop_holds_it_up_once_and_not_for_long(
    held: LocalGateway, door: Door, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    if fails:
        held.script(Reply.raw(500, b""), path="models")
    monkeypatch.setattr(catalog, "LOOK_SECONDS", discovery.LOOK_SECONDS)
    waits: list[float] = []
    wait = Flight.wait

    def noted(flight: Flight[Catalog], seconds: float) -> None:
        waits.append(seconds)
        wait(flight, seconds / 100)

    monkeypatch.setattr(Flight, "wait", noted)

    async def main() -> None:
        for _ in range(3):
            assert Catalog.look(config_of(held), wanted="no/such-model") is Catalog.bundled()

    asyncio.run(main())
    door.opened.set()
    assert waits == [2.0]


def test_look_inside_a_loop_does_not_wait_for_a_task_of_the_same_loop(acme: LocalGateway) -> None:
    async def main() -> Catalog:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(Catalog.adiscover(config=config_of(acme), http_async_client=client))
            await asyncio.sleep(0)
            begun = time.monotonic()
            Catalog.look(config_of(acme), wanted="acme/large")
            assert time.monotonic() - begun < 30
            return await task

    assert asyncio.run(main()).source == "gateway"


def test_look_inside_a_loop_gives_an_old_list_and_renews_it_behind(
    acme: LocalGateway, new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    discover(acme)
    new_process()
    monkeypatch.setattr(cache, "now", lambda: time.time() + cache.TIME_TO_LIVE + 10)

    async def main() -> None:
        old = Catalog.look(config_of(acme))
        assert (old.source, "acme/large" in old) == ("stale cache", True)
        assert await soon(lambda: Catalog.look(config_of(acme)).source == "gateway")

    asyncio.run(main())
    assert fetches(acme) == 2


def test_look_inside_a_loop_asks_nobody_where_the_file_is_fresh(
    acme: LocalGateway, new_process: Callable[[], None]
) -> None:
    discover(acme)
    new_process()

    async def main() -> Catalog:
        return Catalog.look(config_of(acme))

    before = threading.active_count()
    assert asyncio.run(main()).source == "cache"
    assert threading.active_count() <= before
    assert fetches(acme) == 1


def test_a_failed_fetch_behind_is_not_tried_again_for_a_minute(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.script(*[Reply.raw(500, b"")] * 100, path="models")

    async def main() -> None:
        for _ in range(20):
            assert Catalog.look(config_of(acme)).source == "bundled"
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert eventually(lambda: len(warnings_in(caplog)) == 1)
    assert fetches(acme) == 1
    monkeypatch.setattr(discovery, "RETRY_SECONDS", 0)
    asyncio.run(main())
    assert eventually(lambda: fetches(acme) > 1)


def test_look_uses_the_client_that_is_handed_in_behind_too(acme: LocalGateway) -> None:
    async def main() -> None:
        with httpx.Client(headers={"x-mine": "1"}) as client:
            Catalog.look(config_of(acme), http_client=client)
            assert await soon(lambda: Catalog.look(config_of(acme)).is_discovered("acme/large"))

    asyncio.run(main())
    assert acme.last_request.headers["x-mine"] == "1"


@pytest.mark.parametrize("inside", [False, True])
def test_look_with_a_closed_client_raises_nothing(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture, inside: bool
) -> None:
    client = httpx.Client()
    client.close()

    async def main() -> Catalog:
        return Catalog.look(config_of(acme), http_client=client)

    found = asyncio.run(main()) if inside else Catalog.look(config_of(acme), http_client=client)
    assert found.source == "bundled"
    assert eventually(lambda: len(warnings_in(caplog)) == 1)
