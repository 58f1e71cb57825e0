"""The shared clients: one for a process, a few for a loop, none kept that is closed, no cookies, no redirects."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kilocode_gateway import clients
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import AuthenticationError, ConnectionFailedError, KiloCodeError, TimeoutExceededError
from kilocode_gateway.local import LocalGateway, Reply
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY, KEY, transport_to


def test_httpx2_is_taken_where_it_is() -> None:
    wanted = "httpx2" if importlib.util.find_spec("httpx2") else "httpx"
    assert clients.http_library().__name__ == wanted


def test_one_sync_client_for_all_threads() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(clients.shared_client())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1


def test_a_closed_client_is_replaced() -> None:
    first = clients.shared_client()
    first.close()
    second = clients.shared_client()
    assert second is not first
    assert not second.is_closed


def test_one_async_client_for_each_loop_closed_with_it() -> None:
    async def two() -> list[Any]:
        lent = await asyncio.gather(clients.lend_async_client(), clients.lend_async_client())
        return [one.client for one in lent]

    first = asyncio.run(two())
    second = asyncio.run(two())
    assert first[0] is first[1]
    assert second[0] is second[1] is not first[0]
    assert first[0].is_closed
    assert second[0].is_closed


def test_loops_that_nobody_shuts_down_are_forgotten() -> None:
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(clients.lend_async_client())
        loop.close()
    asyncio.run(_touch())
    assert not [entry for entry in clients._clients.by_loop.values() if entry[0].is_closed()]


NewLoop = Callable[[], asyncio.AbstractEventLoop]


def test_a_loop_that_nobody_shuts_down_takes_its_client_along(new_loop: NewLoop) -> None:
    loop = new_loop()
    client = loop.run_until_complete(clients.lend_async_client()).client
    assert not client.is_closed
    loop.close()
    assert client.is_closed
    assert "close" not in vars(loop)


def test_a_loop_may_be_closed_from_inside_another(new_loop: NewLoop) -> None:
    async def close(loop: asyncio.AbstractEventLoop) -> None:
        loop.close()

    ended = new_loop()
    thread = threading.Thread(target=ended.run_forever)
    thread.start()
    client = asyncio.run_coroutine_threadsafe(clients.lend_async_client(), ended).result(20).client
    ended.call_soon_threadsafe(ended.stop)
    thread.join()
    asyncio.run(close(ended))
    assert ended.is_closed()
    assert client.is_closed


def test_a_client_that_cannot_be_closed_keeps_no_loop_open(new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = new_loop()
    client = loop.run_until_complete(clients.lend_async_client()).client
    monkeypatch.setattr(client, "aclose", _fail)
    with pytest.raises(OSError, match="out of order"):
        loop.close()
    assert loop.is_closed()


async def _touch() -> None:
    await clients.lend_async_client()


async def test_a_closed_async_client_is_replaced() -> None:
    first = (await clients.lend_async_client()).client
    await first.aclose()
    second = (await clients.lend_async_client()).client
    assert second is not first
    assert (await clients.lend_async_client()).client is second


@pytest.fixture
async def held() -> AsyncIterator[clients._LoopClients]:
    """Give the clients of a loop, as it has them at its beginning."""
    found = clients._LoopClients()
    yield found
    await found.aclose()


async def test_a_client_with_many_open_requests_gets_no_more(held: clients._LoopClients) -> None:
    lent = [await held.lend() for _ in range(41)]
    used = [one.client for one in lent]
    assert [len(set(map(id, used[:count]))) for count in (20, 21, 40, 41)] == [1, 2, 2, 3]
    for _ in range(2):
        lent[3].give_back()
    assert (await held.lend()).client is used[3]
    assert (await held.lend()).client is used[40]


async def test_more_requests_than_connections_wait_at_the_emptiest_client(
    held: clients._LoopClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "_MAX_CONNECTIONS", 40)
    lent = [await held.lend() for _ in range(43)]
    assert len({id(one.client) for one in lent}) == 2
    lent[30].give_back()
    lent[31].give_back()
    lent[32].give_back()
    assert (await held.lend()).client is lent[30].client


async def test_the_clients_of_a_crowd_are_closed_when_it_is_gone(
    held: clients._LoopClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = [await held.lend() for _ in range(41)]
    last = lent[40]
    last.give_back()
    (await held.lend()).give_back()
    assert not last.client.is_closed
    monkeypatch.setattr(clients, "_IDLE_SECONDS", -1.0)
    lent[0].give_back()
    (await held.lend()).give_back()
    assert last.client.is_closed
    assert not lent[20].client.is_closed


async def test_who_is_cancelled_while_an_idle_client_closes_gives_back(
    held: clients._LoopClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.sleep(60)

    lent = [await held.lend() for _ in range(21)]
    lent[20].give_back()
    lent[0].give_back()
    monkeypatch.setattr(clients, "_IDLE_SECONDS", -1.0)
    monkeypatch.setattr(lent[20].client, "aclose", never)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(held.lend(), 0.05)
    assert [counted.open for counted in held.counted] == [19]


async def test_an_idle_client_that_cannot_be_closed_fails_no_request(
    held: clients._LoopClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = [await held.lend() for _ in range(21)]
    lent[20].give_back()
    lent[0].give_back()
    monkeypatch.setattr(clients, "_IDLE_SECONDS", -1.0)
    monkeypatch.setattr(lent[20].client, "aclose", _fail)
    assert (await held.lend()).client is lent[0].client


async def test_a_client_that_cannot_be_closed_keeps_no_other_open(monkeypatch: pytest.MonkeyPatch) -> None:
    held = clients._LoopClients()
    lent = [await held.lend() for _ in range(41)]
    monkeypatch.setattr(lent[40].client, "aclose", _fail)
    with pytest.raises(OSError, match="out of order"):
        await held.aclose()
    assert lent[0].client.is_closed
    assert lent[20].client.is_closed


async def test_a_crowd_leaves_few_connections_open(gateway: LocalGateway) -> None:
    held = clients._LoopClients()
    lent = [await held.lend() for _ in range(101)]
    kept = [one.client._transport._pool._max_keepalive_connections for one in (lent[0], lent[99], lent[100])]
    await held.aclose()
    assert kept == [20, 20, 2]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_who_is_cancelled_while_ended_connections_close_leaves_none_open(
    make_gateway: Callable[..., LocalGateway],
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
    library: str,
) -> None:
    """The gateway has ended 20 idle connections: the next request, which is given up, closes them."""
    module = pytest.importorskip(library)
    monkeypatch.setattr(clients, "http_library", lambda: module)
    all_here = threading.Barrier(20)

    def answer(_request: Any) -> Reply:
        all_here.wait(60)
        return Reply.text("Hello there.")

    async def give_up() -> None:
        with LocalGateway(answer=answer) as ending:
            await asyncio.gather(*(transport_to(ending).acomplete(BODY) for _ in range(20)))
        asked = asyncio.create_task(transport_to(make_gateway()).acomplete(BODY))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    gc.collect()
    with warnings.catch_warnings(record=True, category=ResourceWarning) as unclosed:
        warnings.simplefilter("always")
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(give_up())
        gc.collect()
    assert [str(warning.message) for warning in unclosed] == []


async def _fail() -> None:
    raise OSError("out of order")


async def _ask_and_leave(transport: Transport, way: str) -> None:
    if way == "whole":
        await transport.acomplete(BODY)
    elif way == "refused":
        with pytest.raises(AuthenticationError):
            await transport.acomplete(BODY)
    elif way == "cancelled":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(transport.acomplete(BODY), 0.2)
    elif way == "too late":
        with pytest.raises(TimeoutExceededError):
            await transport.acomplete({**BODY, "total_timeout": 0.2})
    elif way == "unreachable":
        with pytest.raises(ConnectionFailedError):
            await transport.acomplete(BODY)
    elif way == "cut":
        with pytest.raises(KiloCodeError):
            await transport.acomplete(BODY)
    else:
        stream = await transport.astream(BODY)
        if way == "left":
            await anext(stream)
            await stream.aclose()
        elif way.startswith("dropped"):
            while (await anext(stream)).finish_reason is None and way == "dropped at its end":
                pass
            del stream
            gc.collect()
        else:
            assert [delta async for delta in stream]


async def _open_requests() -> int:
    (await clients.lend_async_client()).give_back()
    return sum(counted.open for counted in clients._clients.by_loop[id(asyncio.get_running_loop())][1].counted)


ENDS: dict[str, Reply] = {
    "whole": Reply.text("Hello there."),
    "streamed": Reply.text("Hello there."),
    "left": Reply.text("Hello there."),
    "dropped": Reply.text("Hello there."),
    "dropped at its end": Reply.text("Hello there.", done=False),
    "refused": Reply.raw(401, {"error": {"message": "no", "code": 401}}),
    "cancelled": Reply.text("Hello there.", delay=60),
    "too late": Reply.text("Hello there.", delay=60),
    "cut": Reply.text("Hello there.", cut_after=5),
    "unreachable": Reply.text("Hello there."),
}


@pytest.mark.parametrize("way", ENDS)
async def test_each_request_gives_its_client_back(gateway: LocalGateway, way: str) -> None:
    gateway.script(ENDS[way])
    address = "http://127.0.0.1:9/" if way == "unreachable" else gateway.base_url
    transport = Transport(GatewayConfig.resolve(base_url=address, api_key=KEY), max_retries=0)
    before = await _open_requests()
    await _ask_and_leave(transport, way)
    async with asyncio.timeout(30):
        # What was dropped is closed by a task of the loop.
        while way.startswith("dropped") and await _open_requests() != before:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert await _open_requests() == before


@pytest.mark.parametrize("name", ["follow_redirects", "trust_env"])
def test_what_a_shared_client_does(name: str) -> None:
    assert getattr(clients.shared_client(), name) is (name == "trust_env")


def test_certificates_are_checked() -> None:
    assert clients._trust().verify_mode is ssl.CERT_REQUIRED
    assert clients._trust().check_hostname
    assert clients._options(1, 1)["verify"] is clients._trust()
