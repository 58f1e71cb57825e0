"""Metadata: right from the catalog at first use, never waited for by a request, and what depends on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer

from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode
from tests.li.model_entries import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway


@pytest.fixture
def gateway(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    return make_gateway(models=MODELS)


def fetches(gateway: LocalGateway) -> int:
    return sum(request.method == "GET" for request in gateway.requests)


def test_the_catalog_tells_and_is_fetched_once(make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(model="large/model")
    assert fetches(gateway) == 0
    found = llm.metadata
    assert (found.context_window, found.num_output, found.is_chat_model, found.is_function_calling_model) == (
        1_000_000,
        -1,
        True,
        True,
    )
    assert (found.model_name, found.system_role) == ("large/model", MessageRole.SYSTEM)
    assert make_llm(model="small/model").metadata.context_window == 8_000
    assert make_llm(model="no/tools").metadata.is_function_calling_model is False
    assert fetches(gateway) == 1


def test_what_the_user_says_wins(make_llm: Any) -> None:
    llm = make_llm(model="no/tools", context_window=5_000, is_function_calling_model=True, max_tokens=77)
    found = llm.metadata
    assert (found.context_window, found.is_function_calling_model, found.num_output) == (5_000, True, 77)


def test_a_model_that_nobody_knows(make_llm: Any) -> None:
    found = make_llm(model="nobody/knows-it").metadata
    assert (found.context_window, found.is_function_calling_model, found.num_output) == (128_000, True, -1)


def test_max_tokens_is_never_taken_from_the_catalog(make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(model="small/model")
    assert llm.metadata.context_window == 8_000
    llm.complete("Hi.")
    assert "max_tokens" not in gateway.chat_requests[-1].json


async def test_requests_never_wait_for_the_catalog(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    await ask(make_llm(model="large/model"))
    assert fetches(gateway) == 0


def test_assignment_and_copies_ask_for_the_new_model(make_llm: Any) -> None:
    llm = make_llm(model="small/model")
    assert llm.metadata.context_window == 8_000
    llm.model = "large/model"
    assert llm.metadata.context_window == 1_000_000
    assert llm.model_copy(update={"model": "small/model"}).metadata.context_window == 8_000


@pytest.mark.parametrize("loaded", [False, True])
def test_inside_a_loop_it_is_right_at_first_use(make_llm: Any, gateway: LocalGateway, loaded: bool) -> None:
    async def run() -> int:
        llm = make_llm(model="small/model")
        if loaded:
            await llm.aload()
        return llm.metadata.context_window

    gateway.script(Reply.ordinary(delay=0.2), path="models")
    assert asyncio.run(run()) == 8_000
    assert fetches(gateway) == 1


def test_without_a_network_there_is_still_an_answer() -> None:
    llm = KiloCode(api_key="test-key-1", api_base="http://127.0.0.1:9/api/gateway/")
    assert llm.metadata.context_window == 1_000_000
    assert llm.metadata.is_function_calling_model is True


def test_the_payload_of_events_is_metadata_without_a_request(make_llm: Any, gateway: LocalGateway) -> None:
    payload = make_llm(model="large/model").to_payload()
    assert (payload["class_name"], payload["model_name"]) == ("KiloCode", "large/model")
    assert fetches(gateway) == 0


@pytest.mark.parametrize(("model", "limit"), [("small/model", 6_000), ("large/model", 750_000)])
def test_memory_and_prompt_helper_know_the_window(make_llm: Any, model: str, limit: int) -> None:
    llm = make_llm(model=model)
    assert ChatMemoryBuffer.from_defaults(llm=llm).token_limit == limit
    helper = PromptHelper.from_llm_metadata(llm.metadata)
    assert helper.context_window == llm.metadata.context_window
    assert helper.num_output == 256


async def test_structured_output_by_what_the_catalog_says(make_llm: Any, gateway: LocalGateway) -> None:
    from llama_index.core.prompts import PromptTemplate
    from pydantic import BaseModel

    class City(BaseModel):
        name: str

    forms: list[Any] = []
    for model in ("no/tools", "no/tools-schema", "large/model"):
        llm = make_llm(model=model)
        await llm.aload()
        gateway.script(Reply.text('{"name": "Lisbon"}'))
        assert (await llm.astructured_predict(City, PromptTemplate("A city."))).name == "Lisbon"
        sent = gateway.chat_requests[-1].json
        forms.append(
            (sent.get("response_format", {}).get("type"), "tools" in sent, "JSON schema" in str(sent["messages"]))
        )
    assert forms == [("json_object", False, True), ("json_schema", False, False), (None, True, False)]


async def test_agents_refuse_a_model_without_tools_before_it_is_paid_for(make_llm: Any, gateway: LocalGateway) -> None:
    from llama_index.core.agent.workflow import FunctionAgent

    llm = make_llm(model="no/tools")
    await llm.aload()
    with pytest.raises(ValueError, match="FunctionCallingLLM"):
        await FunctionAgent(tools=[], llm=llm).run("Hi.")
    assert gateway.chat_requests == []


def test_chat_engines_forget_nothing_early(make_llm: Any, gateway: LocalGateway) -> None:
    from llama_index.core.chat_engine import SimpleChatEngine

    engine = SimpleChatEngine.from_defaults(llm=make_llm(model="large/model"))
    gateway.script(*[Reply.text("Yes.")] * 3)
    for _ in range(3):
        engine.chat("word " * 3_000)
    assert len(gateway.chat_requests[-1].json["messages"]) == 5


def test_list_of_messages_may_be_any_sequence(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(model="large/model").chat((ChatMessage(role="user", content="Hi."),))
    assert gateway.chat_requests[-1].json["messages"] == [{"role": "user", "content": "Hi."}]
