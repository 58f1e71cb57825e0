"""One fetch, the clients that users hand in, and what cannot be sent."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from kilocode_gateway import clients
from kilocode_gateway import errors as core
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.http import aget, get
from kilocode_gateway.local import Reply
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY, KEY, soon, transport_to

if TYPE_CHECKING:
    from types import ModuleType

    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def _config(gateway: LocalGateway) -> GatewayConfig:
    return GatewayConfig.resolve(base_url=gateway.base_url, api_key=KEY)


async def _get(gateway: LocalGateway, path: str, *, is_async: bool, **settings: Any) -> Any:
    config = _config(gateway)
    return await aget(config, path, **settings) if is_async else get(config, path, **settings)


@BOTH
@pytest.mark.parametrize("path", ["models", "/api/profile"])
async def test_a_fetch(gateway: LocalGateway, is_async: bool, path: str) -> None:
    answer = await _get(gateway, path, is_async=is_async)
    assert answer.status == 200
    assert answer.body.startswith(b"{")
    assert answer.headers["content-type"] == "application/json"
    assert answer.url == (gateway.base_url + path if path == "models" else gateway.base_url[:-13] + path)
    assert gateway.last_request.authorization == f"Bearer {KEY}"


@BOTH
async def test_a_fetch_is_one_attempt(gateway: LocalGateway, is_async: bool) -> None:
    gateway.script(Reply.error("empty_500"), path="models")
    with pytest.raises(core.UpstreamError) as caught:
        await _get(gateway, "models", is_async=is_async)
    assert caught.value.retryable
    assert len(gateway.requests) == 1


@BOTH
@pytest.mark.parametrize(
    "fault", [{"delay": 60.0}, {"stall_after": 10, "stall": 60.0}, {"split": 1, "chunk_delay": 0.1}]
)
async def test_a_fetch_has_a_limit_over_all(gateway: LocalGateway, is_async: bool, fault: dict[str, Any]) -> None:
    body = ": drop by drop\n\n" * 600 if "split" in fault else {"data": ["x" * 100]}
    gateway.script(Reply.raw(200, body, **fault), path="models")
    begin = time.monotonic()
    with pytest.raises(core.TimeoutExceededError):
        await _get(gateway, "models", is_async=is_async, timeout=0.3)
    assert time.monotonic() - begin < 30


@BOTH
async def test_a_fetch_that_breaks_off(gateway: LocalGateway, is_async: bool) -> None:
    gateway.script(Reply.raw(200, "x" * 100, cut_after=50), path="models")
    with pytest.raises(core.StreamInterruptedError):
        await _get(gateway, "models", is_async=is_async)


async def test_cancelling_a_fetch(gateway: LocalGateway) -> None:
    gateway.script(Reply.raw(200, "{}", delay=60.0), path="models")
    task = asyncio.create_task(aget(_config(gateway), "models", timeout=90.0))
    assert await soon(lambda: gateway.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(lambda: gateway.disconnects)


@LIBRARIES
async def test_a_client_that_is_handed_in_is_used_and_left_open(
    gateway: LocalGateway, ask: Ask, library: ModuleType
) -> None:
    own = {"headers": {"x-own": "1"}, "trust_env": False}
    async with library.AsyncClient(**own) as asynchronous:
        with library.Client(**own) as client:
            transport = transport_to(gateway, http_client=client, http_async_client=asynchronous)
            assert (await ask(transport, BODY)).finish_reason == "stop"
            assert gateway.last_request.headers["x-own"] == "1"
            assert gateway.last_request.headers["user-agent"].startswith(f"python-{library.__name__}/")
            assert not client.is_closed
            assert not asynchronous.is_closed
            assert get(_config(gateway), "models", client=client).status == 200
            assert (await aget(_config(gateway), "models", client=asynchronous)).status == 200


@LIBRARIES
async def test_faults_of_either_library_are_typed(gateway: LocalGateway, ask: Ask, library: ModuleType) -> None:
    async with library.AsyncClient(trust_env=False) as asynchronous:
        with library.Client(trust_env=False) as client:
            own = {"http_client": client, "http_async_client": asynchronous}
            faults: dict[type[core.KiloCodeError], dict[str, Any]] = {
                core.ConnectionFailedError: {"drop": True},
                core.TimeoutExceededError: {"delay": 60.0},
                core.StreamInterruptedError: {"reset_after": 20, "split": 1},
                core.MalformedReplyError: {"gzip": "lie"},
            }
            for kind, fault in faults.items():
                gateway.script(Reply.text("x" * 100, **fault))
                timeout = 0.3 if "delay" in fault else 20.0
                with pytest.raises(kind) as caught:
                    await ask(transport_to(gateway, timeout=timeout, **own), BODY)
                assert type(caught.value) is kind
                assert caught.value.__context__ is None


@LIBRARIES
async def test_a_closed_client_is_named(gateway: LocalGateway, ask: Ask, library: ModuleType) -> None:
    client, asynchronous = library.Client(), library.AsyncClient()
    client.close()
    await asynchronous.aclose()
    transport = transport_to(gateway, http_client=client, http_async_client=asynchronous)
    with pytest.raises(core.ConfigurationError, match=rf"closed \({library.__name__}.*Client\)"):
        await ask(transport, BODY)
    assert gateway.requests == []


@LIBRARIES
async def test_a_client_of_the_wrong_kind_is_named(gateway: LocalGateway, ask: Ask, library: ModuleType) -> None:
    client, asynchronous = library.Client(), library.AsyncClient()
    transport = transport_to(gateway, http_client=asynchronous, http_async_client=client)
    with pytest.raises(core.ConfigurationError, match=r"Hand it in as http_(async_)?client"):
        await ask(transport, BODY)
    client.close()
    await asynchronous.aclose()


@pytest.mark.parametrize(
    "headers",
    [
        {"x-own": "line\nbreak"},
        {"x-own": "line\rbreak"},
        {"x-own": "nul\0"},
        {"x-own": "ü"},
        {"x-own": 5},
        {"x-own": None},
        {"x own": "x"},
        {"": "x"},
        {"x:": "x"},
        {5: "x"},
        {"ü": "x"},
    ],
    ids=repr,
)
def test_headers_that_cannot_be_sent(headers: Any) -> None:
    with pytest.raises(core.ConfigurationError, match="cannot be sent") as caught:
        Transport(GatewayConfig.resolve(), headers=headers)
    assert "break" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), {1, 2}, object, b"bytes", {("a",): 1}], ids=repr)
async def test_what_is_no_json_is_refused_before_anything_is_sent(
    gateway: LocalGateway, ask: Ask, value: object
) -> None:
    with pytest.raises(core.ConfigurationError, match="cannot be written as JSON"):
        await ask(transport_to(gateway), {**BODY, "metadata": {"x": value}})
    assert gateway.requests == []


async def test_what_contains_itself_is_refused(gateway: LocalGateway, ask: Ask) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(core.ConfigurationError, match="cannot be written as JSON"):
            await ask(transport_to(gateway), {**BODY, "messages": [{"role": "user", "content": value}]})
    assert gateway.requests == []


@BOTH
async def test_a_host_that_is_no_host(is_async: bool) -> None:
    transport = Transport(GatewayConfig(base_url="https://exam\x7fple/"), max_retries=0)
    with pytest.raises(core.ConnectionFailedError, match="cannot be sent") as caught:
        await transport.acomplete(BODY) if is_async else transport.complete(BODY)
    assert not caught.value.retryable


def test_making_a_transport_makes_no_client(gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_clients", clients._Clients())
    transport_to(gateway)
    assert clients._clients.sync is None
    assert clients._clients.by_loop == {}


async def test_requests_other_than_chat(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    for answer in (
        transport.request("GET", "/api/profile/balance"),
        await transport.arequest("GET", "/api/profile/balance"),
    ):
        assert answer == {"balance": 25.0, "isDepleted": False}
    gateway.script(*[Reply.raw(200, "[1]")] * 2, path="embeddings")
    body = {"model": "openai/text-embedding-3-small", "input": "x"}
    with pytest.raises(core.MalformedReplyError):
        transport.request("POST", "embeddings", body)
    with pytest.raises(core.MalformedReplyError):
        await transport.arequest("POST", "embeddings", body)


async def test_several_answers_at_once(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    for answers in (transport.completions({**BODY, "n": 3}), await transport.acompletions({**BODY, "n": 3})):
        assert [answer.index for answer in answers] == [0, 1, 2]
        assert [answer.usage is None for answer in answers] == [False, True, True]
