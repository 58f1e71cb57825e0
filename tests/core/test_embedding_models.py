"""The embedding models: what each gives, read from the gateway once, and what is said where that fails."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from kilocode_gateway import ConfigurationError, EmbeddingModelInfo, EmbeddingModels, UnknownModelError
from kilocode_gateway.embedding_models import amodel_to_send, model_to_send
from kilocode_gateway.local import Reply
from tests.core.catalogs import PATIENT, Door, config_of, one_warning, warnings_in
from tests.core.helpers import eventually, soon

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilocode_gateway.local import LocalGateway

SMALL, ADA = "openai/text-embedding-3-small", "openai/text-embedding-ada-002"
SPRING = {
    "defaultModel": "mistralai/codestral-embed-2505",
    "models": [
        {"id": "mistralai/codestral-embed-2505", "name": "Codestral Embed", "dimension": 1536, "scoreThreshold": 0.4},
        {"id": SMALL, "name": "Text Embedding 3 Small", "dimension": 1536, "scoreThreshold": 0.4},
    ],
    "aliases": {"codestral-embed-2505": "mistralai/codestral-embed-2505"},
}
SUMMER = {
    "defaultModel": "mistralai/mistral-embed-2312",
    "models": [
        {"id": "mistralai/mistral-embed-2312", "name": "Mistral Embed", "dimension": 1024, "dimensionMode": "fixed"},
        {"id": SMALL, "dimension": 1536, "dimensionMode": "selectable", "verifiedDimensions": [512, 1536]},
        {"id": "acme/longer", "dimension": 512, "dimensionMode": "fixed", "verifiedDimensions": [512, 1024]},
    ],
    "aliases": {"mistral-embed": "mistralai/mistral-embed-2312"},
}


async def _sync(gateway: LocalGateway, **more: Any) -> EmbeddingModels:
    return EmbeddingModels.discover(config=config_of(gateway), **more)


async def _async(gateway: LocalGateway, **more: Any) -> EmbeddingModels:
    return await EmbeddingModels.adiscover(config=config_of(gateway), **more)


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def discover(request: pytest.FixtureRequest) -> Callable[..., Awaitable[EmbeddingModels]]:
    return request.param


async def _sync_id(gateway: LocalGateway, reference: Any, dimensions: Any = None) -> str:
    return model_to_send(config_of(gateway), reference, dimensions)


async def _async_id(gateway: LocalGateway, reference: Any, dimensions: Any = None) -> str:
    return await amodel_to_send(config_of(gateway), reference, dimensions)


@pytest.fixture(params=[_sync_id, _async_id], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Callable[..., Awaitable[str]]:
    return request.param


def listing(body: Any, **faults: Any) -> Reply:
    return Reply.raw(200, body, **faults)


def fetches(gateway: LocalGateway) -> int:
    return sum(request.path.endswith("/embedding-models") for request in list(gateway.requests))


async def test_the_list_is_fetched_once_and_without_a_key(
    discover: Any, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "canary-7f3a-key")
    models = await discover(gateway)
    assert (models.source, models.default) == ("gateway", SMALL)
    assert models[ADA] == EmbeddingModelInfo(ADA, "text-embedding-ada-002", 1536, fixed=True)
    assert models["kilocode/text-embedding-3-small"].id == SMALL
    assert await discover(gateway) is models is EmbeddingModels.at_hand(config_of(gateway))
    assert [request.path for request in gateway.requests] == ["/api/gateway/embedding-models"]
    assert gateway.last_request.authorization is None


async def test_each_gateway_has_its_own(discover: Any, make_gateway: Any) -> None:
    one, other = make_gateway(), make_gateway()
    one.script(listing(SPRING), path="embedding-models")
    assert [len(await discover(gateway)) for gateway in (one, other)] == [2, 9]


async def test_refresh_asks_again_and_a_failure_keeps_what_was_known(
    discover: Any, gateway: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script(listing(SPRING), Reply.raw(500, {"error": "no"}), listing(SUMMER), path="embedding-models")
    assert (await discover(gateway)).default == SPRING["defaultModel"]
    assert (await discover(gateway, refresh=True)).default == SPRING["defaultModel"]
    assert "used instead: those of an earlier answer" in warnings_in(caplog)[0]
    assert (await discover(gateway, refresh=True)).default == SUMMER["defaultModel"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply.raw(500, {"error": "Failed"}),
        Reply.raw(405, b""),
        listing("<html>sign in</html>"),
        listing(b"\xff\xfe"),
        listing([]),
        listing({"models": []}),
        listing({"models": None, "aliases": 5}),
        listing({"models": [{"name": "without an id"}, "text", None]}),
        listing({"error": {"message": "no"}}),
        Reply.raw(302, b"", headers={"location": "https://example.com/"}),
    ],
    ids=["500", "405", "page", "bytes", "list", "no models", "null", "no ids", "error", "redirect"],
)
async def test_a_failure_gives_the_bundled_list_and_one_warning(
    discover: Any, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    gateway.script(reply, path="embedding-models")
    for _ in range(3):
        assert await discover(gateway) is EmbeddingModels.bundled()
    assert fetches(gateway) == 1
    (warning,) = warnings_in(caplog)
    assert f"The embedding models of {gateway.base_url} could not be discovered" in warning


async def test_a_gateway_that_is_not_there_gives_the_bundled_list(
    discover: Any, make_gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = make_gateway()
    config = config_of(gateway)
    gateway.stop()
    assert EmbeddingModels.discover(config=config) is await EmbeddingModels.adiscover(config=config)
    assert "cannot be reached" in warnings_in(caplog)[0]


@pytest.mark.parametrize(
    "reply", [Reply.ordinary(delay=30), listing(SUMMER, stall_after=20, stall=30)], ids=["before", "amid"]
)
async def test_a_slow_gateway_is_not_waited_for(
    discover: Any, gateway: LocalGateway, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    gateway.script(reply, path="embedding-models")
    assert await discover(gateway, timeout=0.3) is EmbeddingModels.bundled()
    assert one_warning(caplog)


def test_a_crowd_is_one_request(gateway: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.script(Reply.ordinary(delay=0.3), path="embedding-models")
    begin = threading.Barrier(18)

    def thread() -> list[EmbeddingModels]:
        begin.wait()
        return [EmbeddingModels.discover(config=config_of(gateway), timeout=PATIENT)]

    def loop() -> list[EmbeddingModels]:
        async def ask() -> list[EmbeddingModels]:
            begin.wait()
            config = config_of(gateway)
            async with httpx.AsyncClient() as client:
                ways: list[dict[str, Any]] = [{}, {"http_async_client": client}] * 4
                asked = (EmbeddingModels.adiscover(config=config, timeout=PATIENT, **more) for more in ways)
                return await asyncio.gather(*asked)

        return asyncio.run(ask())

    with ThreadPoolExecutor(18) as pool:
        asked = [pool.submit(thread) for _ in range(16)] + [pool.submit(loop) for _ in range(2)]
        found = [models for future in asked for models in future.result(PATIENT)]
    assert fetches(gateway) == 1
    assert len(found) == 32
    assert len(set(map(id, found))) == 1
    assert warnings_in(caplog) == []


def test_a_failure_before_a_crowd_is_told_once(gateway: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.script(*[Reply.raw(500, {"error": "no"}, delay=0.3)] * 9, path="embedding-models")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(EmbeddingModels.discover, config=config_of(gateway)) for _ in range(8)]
        assert {future.result(30).source for future in asked} == {"bundled"}
    assert (fetches(gateway), len(warnings_in(caplog))) == (1, 1)


def test_a_crowd_that_waited_long_enough_goes_and_is_told_once(
    gateway: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    # The first bytes come just in time, the others never: the fetch itself ends after those who waited for it.
    gateway.script(listing(SUMMER, delay=0.5, stall_after=20, stall=30), path="embedding-models")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(EmbeddingModels.discover, config=config_of(gateway), timeout=0.6) for _ in range(8)]
        assert {future.result(30).source for future in asked} == {"bundled"}
    assert eventually(lambda: not any("-models" in thread.name for thread in threading.enumerate()))
    assert len(warnings_in(caplog)) == 1


@pytest.mark.parametrize("own", [False, True], ids=["shared client", "own client"])
async def test_who_is_cancelled_takes_nobody_along(held: LocalGateway, door: Door, own: bool) -> None:
    async with httpx.AsyncClient() as client:
        more: dict[str, Any] = {"http_async_client": client} if own else {}
        more |= {"config": config_of(held), "timeout": PATIENT}
        leaver = asyncio.create_task(EmbeddingModels.adiscover(**more))
        assert await soon(lambda: fetches(held) == 1)
        stayer = asyncio.create_task(EmbeddingModels.adiscover(**more))
        await asyncio.sleep(0)  # now it waits for the same fetch
        leaver.cancel()
        door.opened.set()
        assert (await stayer).source == "gateway"
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_a_sync_question_inside_the_loop_that_fetches_is_answered(gateway: LocalGateway) -> None:
    gateway.script(Reply.ordinary(delay=0.3), path="embedding-models")
    async with httpx.AsyncClient() as client:
        config = config_of(gateway)
        task = asyncio.create_task(EmbeddingModels.adiscover(config=config, http_async_client=client))
        assert await soon(lambda: fetches(gateway) == 1)
        assert EmbeddingModels.discover(config=config).source == "gateway"
        assert (await task).source == "gateway"


async def test_who_has_less_time_goes_and_the_fetch_goes_on(
    held: LocalGateway, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(held)
    patient = asyncio.create_task(EmbeddingModels.adiscover(config=config, timeout=PATIENT))
    assert await soon(lambda: fetches(held) == 1)
    assert (await EmbeddingModels.adiscover(config=config, timeout=0.1)).source == "bundled"
    assert "took longer than 0.1 seconds" in warnings_in(caplog)[0]
    door.opened.set()
    assert (await patient).source == "gateway"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_waits_for_no_fetch_of_its_parent(
    make_gateway: Callable[..., LocalGateway], door: Door
) -> None:
    gateway = make_gateway(answer=lambda request: door(request) if fetches(gateway) == 1 else None)
    config = config_of(gateway)
    asking = threading.Thread(target=EmbeddingModels.discover, kwargs={"config": config, "timeout": PATIENT})
    asking.start()
    assert eventually(lambda: fetches(gateway) == 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if EmbeddingModels.discover(config=config, timeout=PATIENT).source == "gateway" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    door.opened.set()
    asking.join()
    assert fetches(gateway) == 2


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": True}, {"timeout": "5"}])
async def test_a_time_limit_that_is_none_is_refused(discover: Any, gateway: LocalGateway, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a positive number of seconds"):
        await discover(gateway, **wrong)
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("entry", "info"),
    [
        ({"id": " a/b ", "name": 5, "dimension": "1536"}, EmbeddingModelInfo("a/b", "a/b")),
        ({"id": "a/b", "dimension": 8.0, "dimensionMode": " FIXED "}, EmbeddingModelInfo("a/b", "a/b", 8, fixed=True)),
        ({"id": "a/b", "dimension": 8, "dimensionMode": ["fixed"]}, EmbeddingModelInfo("a/b", "a/b", 8)),
        ({"id": "a/b", "dimension": True}, EmbeddingModelInfo("a/b", "a/b")),
        ({"id": "a/b", "dimension": -1}, EmbeddingModelInfo("a/b", "a/b")),
        ({"id": "a/b", "dimension": 1e999}, EmbeddingModelInfo("a/b", "a/b")),
        (
            {"id": "a/b", "name": "B", "verifiedDimensions": [4, "5", None, 6.0, 0]},
            EmbeddingModelInfo("a/b", "B", verified_dimensions=(4, 6)),
        ),
        ({"id": "a/b", "verifiedDimensions": {"4": 4}}, EmbeddingModelInfo("a/b", "a/b")),
        ({"id": " "}, None),
        ({"id": 5}, None),
        (None, None),
    ],
)
def test_entries_are_read_whatever_is_odd_in_them(entry: Any, info: Any) -> None:
    assert EmbeddingModelInfo.from_entry(entry) == info


async def test_the_first_of_two_entries_with_one_id_counts(discover: Any, gateway: LocalGateway) -> None:
    body = {"models": [{"id": "a/b", "dimension": 4}, {"id": "a/b", "dimension": 8}], "aliases": {"b": "a/b", "c": 5}}
    gateway.script(listing(json.dumps(body)), path="embedding-models")
    models = await discover(gateway)
    assert (list(models), models["b"].dimension, models.default, "c" in models) == (["a/b"], 4, None, False)


@pytest.mark.parametrize(
    ("body", "model", "lengths"),
    [
        (None, SMALL, {1: True, 512: True, 1536: True, 1537: False}),
        (None, "text-embedding-3-small", {1: True, 1536: True, 1537: False}),
        (None, "kilocode/" + ADA, {1536: True, 1: False, 512: False, 3072: False}),
        (None, "baai/bge-m3", {1024: True, 512: False}),
        (None, "nobody/knows-it", {1: True, 99_999: True}),
        (SPRING, "codestral-embed-2505", {512: True, 1536: True, 1537: False}),
        (SPRING, "baai/bge-m3", {1: True, 99_999: True}),
        (SUMMER, "mistral-embed", {1024: True, 512: False, 1536: False}),
        (SUMMER, SMALL, {512: True, 700: True, 1536: True, 3072: False}),
        (SUMMER, "acme/longer", {512: True, 1024: True, 256: False, 2048: False}),
        ({"models": [{"id": SMALL, "dimension": "many", "dimensionMode": "fixed"}]}, SMALL, {1: True, 4096: True}),
    ],
)
async def test_lengths_in_each_state_of_the_list(
    send: Any, gateway: LocalGateway, body: Any, model: str, lengths: dict[int, bool]
) -> None:
    if body is not None:
        gateway.script(listing(body), path="embedding-models")
    for dimensions, given in lengths.items():
        if given:
            assert "/" in await send(gateway, model, dimensions)
            continue
        with pytest.raises(ConfigurationError, match=f"dimensions={dimensions} was asked for, so nothing was sent"):
            await send(gateway, model, dimensions)
    assert fetches(gateway) == 1


async def test_a_refusal_says_what_the_model_gives_and_what_to_do(send: Any, gateway: LocalGateway) -> None:
    with pytest.raises(ConfigurationError) as fixed:
        await send(gateway, ADA, 512)
    assert str(fixed.value) == (
        "The embedding model 'openai/text-embedding-ada-002' always gives 1536 numbers for a text, and dimensions=512 "
        "was asked for, so nothing was sent. Leave dimensions out, or choose another model, such as "
        "'openai/text-embedding-3-small' or 'openai/text-embedding-3-large' or 'google/gemini-embedding-001'."
    )
    with pytest.raises(ConfigurationError) as most:
        await send(gateway, "text-embedding-3-small", 4096)
    assert str(most.value) == (
        "The embedding model 'openai/text-embedding-3-small' gives at most 1536 numbers for a text, and "
        "dimensions=4096 was asked for, so nothing was sent. Set dimensions to 1 to 1536, or leave dimensions out, or "
        "choose another model, such as 'qwen/qwen3-embedding-8b'."
    )
    assert most.value.model == SMALL


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "512", [512]])
async def test_what_is_no_length_is_refused_at_once(send: Any, gateway: LocalGateway, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="dimensions must be a whole number from 1, got"):
        await send(gateway, SMALL, wrong)
    assert gateway.requests == []


async def test_where_no_length_is_asked_for_nothing_is_fetched(send: Any, gateway: LocalGateway) -> None:
    names = ["text-embedding-3-large", "kilo/openai/text-embedding-ada-002", "nobody/knows-it", "nobody-knows-it"]
    assert [await send(gateway, name) for name in names] == [
        "openai/text-embedding-3-large",
        ADA,
        "nobody/knows-it",
        "nobody-knows-it",
    ]
    assert gateway.requests == []
    with pytest.raises(ConfigurationError, match="A model must be named by a string"):
        await send(gateway, " ")


def test_the_bundled_list_is_a_mapping_of_the_newest_models() -> None:
    models = EmbeddingModels.bundled()
    assert len(models) == len(list(models)) == 22
    assert models.default == SMALL
    assert sum(info.fixed for info in models.values()) == 15
    assert repr(models) == "EmbeddingModels(22 models, source='bundled', default='openai/text-embedding-3-small')"
    assert "text-embedding-ada-002" in models
    assert 5 not in models
    assert models.get("nobody/knows-it") is None
    with pytest.raises(UnknownModelError, match="Did you mean 'openai/text-embedding-3-small'"):
        models["openai/text-embeding-3-small"]
    with pytest.raises(KeyError, match="gives the ids"):
        models["x"]


def test_the_local_gateway_and_the_bundled_list_agree(gateway: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bundled = EmbeddingModels.bundled()
    for info in EmbeddingModels.discover(base_url=gateway.base_url).values():
        assert bundled[info.id] == info
