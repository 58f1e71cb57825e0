"""The shared clients: one for a process, one for a loop, none kept that is closed, no cookies, no redirects."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import threading
from collections.abc import Callable

import pytest

from kilocode_gateway import clients


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
    async def two() -> list[object]:
        return list(await asyncio.gather(clients.shared_async_client(), clients.shared_async_client()))

    first = asyncio.run(two())
    second = asyncio.run(two())
    assert first[0] is first[1]
    assert second[0] is second[1] is not first[0]
    assert first[0].is_closed  # type: ignore[attr-defined]
    assert second[0].is_closed  # type: ignore[attr-defined]


def test_loops_that_nobody_shuts_down_are_forgotten() -> None:
    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(clients.shared_async_client())
        loop.close()
    asyncio.run(_touch())
    assert not [entry for entry in clients._clients.by_loop.values() if entry[0].is_closed()]


NewLoop = Callable[[], asyncio.AbstractEventLoop]


def test_a_loop_that_nobody_shuts_down_takes_its_client_along(new_loop: NewLoop) -> None:
    loop = new_loop()
    client = loop.run_until_complete(clients.shared_async_client())
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
    client = asyncio.run_coroutine_threadsafe(clients.shared_async_client(), ended).result(20)
    ended.call_soon_threadsafe(ended.stop)
    thread.join()
    asyncio.run(close(ended))
    assert ended.is_closed()
    assert client.is_closed


def test_a_client_that_cannot_be_closed_keeps_no_loop_open(new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise OSError("out of order")

    loop = new_loop()
    client = loop.run_until_complete(clients.shared_async_client())
    monkeypatch.setattr(client, "aclose", fail)
    with pytest.raises(OSError, match="out of order"):
        loop.close()
    assert loop.is_closed()


async def _touch() -> None:
    await clients.shared_async_client()


async def test_a_closed_async_client_is_replaced() -> None:
    first = await clients.shared_async_client()
    await first.aclose()
    second = await clients.shared_async_client()
    assert second is not first
    assert await clients.shared_async_client() is second


@pytest.mark.parametrize("name", ["follow_redirects", "trust_env"])
def test_what_a_shared_client_does(name: str) -> None:
    assert getattr(clients.shared_client(), name) is (name == "trust_env")


def test_certificates_are_checked() -> None:
    assert clients._trust().verify_mode is ssl.CERT_REQUIRED
    assert clients._trust().check_hostname
    assert clients._options()["verify"] is clients._trust()
