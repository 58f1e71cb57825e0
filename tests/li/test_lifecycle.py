"""Copies, pickles, event loops, users' own clients, and where the key is not. Dicts stand in `test_serialization`."""

from __future__ import annotations

import asyncio
import copy
import logging
import operator
import pickle
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.openai_like import OpenAILike

from kilocode_gateway.errors import AuthenticationError, ConfigurationError
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode, KiloCodeEmbedding

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

HI = [ChatMessage(role="user", content="Hi.")]


def test_it_is_an_llm_of_the_framework(llm: KiloCode) -> None:
    assert isinstance(llm, BaseLLM)
    assert isinstance(llm, FunctionCallingLLM)
    assert isinstance(llm, OpenAILike)
    assert llm.class_name() == type(llm).__name__ == "KiloCode"
    assert KiloCode().model == "kilo/auto"
    assert KiloCode("openai/gpt-5.4").model == "openai/gpt-5.4"


def test_several_event_loops(llm: KiloCode) -> None:
    async def run() -> list[Any]:
        pieces = [piece async for piece in await llm.astream_chat(HI)]
        return [await llm.acomplete("Hi."), pieces[-1]]

    for _ in range(4):
        assert len(asyncio.run(run())) == 2


def used(llm: KiloCode) -> KiloCode:
    llm.complete("Hi.")
    asyncio.run(llm.acomplete("Hi."))
    return llm


def test_copies_after_use(make_llm: Callable[..., KiloCode], gateway: LocalGateway) -> None:
    llm = used(make_llm(model="openai/gpt-5.4", temperature=0.5))
    for twin in (copy.deepcopy(llm), copy.copy(llm), llm.model_copy(), llm.model_copy(deep=True)):
        twin.complete("Hi.")
        assert gateway.chat_requests[-1].json["temperature"] == 0.5
        assert gateway.chat_requests[-1].authorization == "Bearer test-key-1"


def test_a_changed_key_address_or_model_is_used(
    make_llm: Callable[..., KiloCode], gateway: LocalGateway, make_gateway: Callable[..., LocalGateway]
) -> None:
    other = make_gateway()
    llm = used(make_llm())
    twin = llm.model_copy(update={"api_key": "test-key-2", "api_base": other.base_url, "model": "openai/gpt-5.4-mini"})
    twin.complete("Hi.")
    assert (other.chat_requests[-1].authorization, other.chat_requests[-1].json["model"]) == (
        "Bearer test-key-2",
        "openai/gpt-5.4-mini",
    )
    llm.complete("Hi.")
    assert gateway.chat_requests[-1].authorization == "Bearer test-key-1"
    llm.api_key = "test-key-3"
    llm.organization_id = "org-3"
    llm.complete("Hi.")
    assert gateway.chat_requests[-1].authorization == "Bearer test-key-3"
    assert gateway.chat_requests[-1].headers["x-kilocode-organizationid"] == "org-3"
    llm.max_retries = 0
    gateway.script(Reply.raw(503, {"error": "x"}, {}))
    before = len(gateway.chat_requests)
    with pytest.raises(Exception, match="x"):
        llm.complete("Hi.")
    assert len(gateway.chat_requests) == before + 1


def test_a_key_given_by_hand_travels_with_a_pickle(
    make_llm: Callable[..., KiloCode], gateway: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    llm = used(make_llm(temperature=0.5, default_headers={"X-One": "1"}, provider={"sort": "price"}))
    with caplog.at_level(logging.WARNING):
        twin = pickle.loads(pickle.dumps(llm))
    assert caplog.records == []
    twin.complete("Hi.")
    request = gateway.chat_requests[-1]
    assert (request.authorization, request.headers["x-one"]) == ("Bearer test-key-1", "1")
    assert (request.json["temperature"], request.json["provider"]) == (0.5, {"sort": "price"})


def test_a_key_from_the_environment_does_not(gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILO_API_KEY", "test-key-env")
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    llm = used(KiloCode())
    assert gateway.chat_requests[-1].authorization == "Bearer test-key-env"
    assert llm.api_key is None
    stored = pickle.dumps(llm)
    assert b"test-key-env" not in stored
    assert b"test-key-env" not in pickle.dumps(KiloCodeEmbedding())
    monkeypatch.setenv("KILO_API_KEY", "test-key-there")
    pickle.loads(stored).complete("Hi.")
    assert gateway.chat_requests[-1].authorization == "Bearer test-key-there"


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_worker_elsewhere_runs_what_it_is_sent(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    given: dict[str, Any] = {"api_key": "test-key-1"} if by_hand else {}
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-here")
    settings: dict[str, Any] = {"temperature": 0.5, "provider": {"sort": "price"}, "additional_kwargs": {"seed": 1}}
    headers = {"X-One": "1"}
    llm = used(KiloCode("openai/gpt-5.4", api_base=gateway.base_url, default_headers=headers, **settings, **given))
    mine = llm.chat(HI, max_tokens=9)
    here = gateway.chat_requests[-1].json
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-there")
    with get_context("spawn").Pool(1) as pool:
        theirs = pool.apply(operator.methodcaller("chat", HI, max_tokens=9), (llm,))
        window = pool.apply(operator.attrgetter("metadata.context_window"), (llm,))
    assert theirs.message == mine.message
    assert theirs.additional_kwargs == mine.additional_kwargs
    assert window == llm.metadata.context_window
    request = gateway.chat_requests[-1]
    assert request.json == here
    assert request.authorization == f"Bearer {'test-key-1' if by_hand else 'test-key-there'}"
    assert request.headers["x-one"] == "1"


def a_key() -> str:
    return "test-key-2"


def test_a_function_that_gives_the_key_travels_with_a_pickle(gateway: LocalGateway) -> None:
    for model in (KiloCode(api_key=a_key, api_base=gateway.base_url), KiloCodeEmbedding(api_key=a_key)):
        assert pickle.loads(pickle.dumps(model)).api_key is a_key


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding])
def test_the_reference_page_says_what_a_pickle_carries(cls: type) -> None:
    said = " ".join(str(cls.__doc__).partition("Copies and pickles:")[2].split())
    assert "a key that was given by hand" in said
    assert "A key from the environment and HTTP clients stay behind" in said


def test_the_key_shows_nowhere(make_llm: Callable[..., KiloCode], gateway: LocalGateway) -> None:
    llm = used(make_llm(default_headers={"X-Secret": "header-secret-1"}))
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url, default_headers={"X": "header-secret-1"})
    for thing in (llm, embed):
        shown = [repr(thing), str(thing), thing.to_json(), str(thing.to_dict()), str(thing.model_dump())]
        shown += [
            thing.model_dump_json(),
            str(vars(thing).get("__pydantic_private__")),
            repr(thing.__pydantic_private__),
        ]
        assert not any("test-key-1" in text or "header-secret-1" in text for text in shown)
    gateway.script(Reply.raw(401, {"error": {"code": "INVALID_TOKEN", "message": "Bad token test-key-1"}}, {}))
    with pytest.raises(AuthenticationError) as caught:
        llm.complete("Hi.")
    for text in (str(caught.value), repr(caught.value), str(caught.value.facts()), str(pickle.dumps(caught.value))):
        assert "test-key-1" not in text


@pytest.mark.parametrize("reuse", [True, False])
def test_a_users_own_client_is_used_and_never_closed(
    make_llm: Callable[..., KiloCode], gateway: LocalGateway, reuse: bool
) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(headers={"X-Mine": "async"}) as client:
            llm = make_llm(async_http_client=client, reuse_client=reuse)
            for _ in range(2):
                await llm.acomplete("Hi.")
                assert gateway.chat_requests[-1].headers["x-mine"] == "async"
            await copy.deepcopy(llm).acomplete("Hi.")
            assert not client.is_closed

    with httpx.Client(headers={"X-Mine": "sync"}) as client:
        llm = make_llm(http_client=client, reuse_client=reuse)
        for one in (llm, llm, copy.deepcopy(llm)):
            one.complete("Hi.")
            assert gateway.chat_requests[-1].headers["x-mine"] == "sync"
        assert not client.is_closed
        pickle.dumps(llm)
    asyncio.run(run())


def test_making_one_costs_no_request(make_llm: Callable[..., KiloCode], gateway: LocalGateway) -> None:
    for _ in range(20):
        make_llm()
    KiloCodeEmbedding(api_base=gateway.base_url)
    assert gateway.requests == []


def test_a_bad_key_or_address_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError, match="line break") as caught:
        KiloCode(api_key="one\ntwo")
    assert "one" not in str(caught.value).split("KILOCODE_API_KEY", maxsplit=1)[0].split("contains")[0]
    with pytest.raises(ConfigurationError, match="http"):
        KiloCode(api_base="ftp://example.com")


def test_breaking_out_of_a_stream_closes_it(make_llm: Callable[..., KiloCode], gateway: LocalGateway) -> None:
    gateway.script(*[Reply.text("word " * 2_000, chunk_delay=0.01)] * 2)
    for _ in make_llm().stream_chat(HI):
        break

    async def run() -> None:
        stream = await make_llm().astream_chat(HI)
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(run())
