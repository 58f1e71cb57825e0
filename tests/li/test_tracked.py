"""`track_usage` over LlamaIndex: agents, engines, embeddings, threads and tasks, up to a limit."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from kilocode_gateway import BudgetExceededError, track_usage
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCodeEmbedding

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode

USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.1}
HI = [ChatMessage(role="user", content="Hi.")]


class City(BaseModel):
    """A city."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)
CALL = {"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}


def _reply(text: str = "Hello", **more: Any) -> Reply:
    return Reply.text(text, usage=USED, **more)


async def test_models_are_told_apart(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    gateway.script(_reply(model="a/one"), _reply(model="b/two"), _reply(model="a/one"))
    with track_usage() as used:
        for _ in range(3):
            await ask(make_llm(model="kilo/auto"))
    assert {name: spent.cost for name, spent in used.by_model.items()} == {
        "a/one": Decimal("0.2"),
        "b/two": Decimal("0.1"),
    }
    assert (used.total.calls, used.total.input_tokens, used.total.output_tokens) == (3, 30, 15)


def _with_tools(llm: KiloCode) -> Any:
    return llm.chat_with_tools([TOOL], user_msg="Add 1 and 2.")


WAYS = {
    "predict": lambda llm: llm.predict(PromptTemplate("Hi.")),
    "stream": lambda llm: list(llm.stream(PromptTemplate("Hi."))),
    "chat_with_tools": _with_tools,
    "stream_chat_with_tools": lambda llm: list(llm.stream_chat_with_tools([TOOL], user_msg="Add 1 and 2.")),
    "predict_and_call": lambda llm: llm.predict_and_call([TOOL], user_msg="Add 1 and 2."),
    "structured_predict": lambda llm: llm.structured_predict(City, PromptTemplate("A city.")),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(City, PromptTemplate("A city."))),
    "as_structured_llm": lambda llm: llm.as_structured_llm(City).complete("A city."),
    "simple engine": lambda llm: SimpleChatEngine.from_defaults(llm=llm).chat("Hi."),
    "streaming engine": lambda llm: list(SimpleChatEngine.from_defaults(llm=llm).stream_chat("Hi.").response_gen),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_other_way_to_ask_counts(llm: KiloCode, gateway: LocalGateway, way: str) -> None:
    call = {"id": "c1", "name": "City", "arguments": '{"name": "Lisbon"}'} if "structured" in way else CALL
    by_call = any(word in way for word in ("tools", "call", "structured"))
    gateway.script(*[_reply("", tool_calls=[call]) if by_call else _reply()] * 2)
    with track_usage() as used:
        WAYS[way](llm)
    assert (used.total.calls, used.total.cost) == (1, Decimal("0.1"))
    if way != "streaming engine":  # the framework leaves its thread's error unhandled
        with track_usage(limit_usd=0), pytest.raises(BudgetExceededError):
            WAYS[way](llm)
    assert len(gateway.chat_requests) == 1


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_in_a_block_inside_another(llm: KiloCode, gateway: LocalGateway, streaming: bool) -> None:
    gateway.script(_reply(), _reply("", tool_calls=[CALL]), _reply("3"))
    with track_usage() as outer:
        await llm.achat(HI)
        with track_usage() as inner:
            await FunctionAgent(tools=[add], llm=llm, streaming=streaming).run("What is 1 plus 2?")
    assert (inner.total.calls, outer.total.calls) == (2, 3)
    assert (inner.total.cost, outer.total.cost) == (Decimal("0.2"), Decimal("0.3"))


async def test_a_limit_stops_an_agent_between_its_calls(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(*[_reply("", tool_calls=[CALL])] * 9)
    with track_usage(limit_usd="0.25") as used, pytest.raises(BudgetExceededError, match="3 calls"):
        await FunctionAgent(tools=[add], llm=llm).run("What is 1 plus 2?")
    assert (used.total.cost, len(gateway.chat_requests)) == (Decimal("0.3"), 3)


async def test_a_react_agent_counts(llm: KiloCode, gateway: LocalGateway) -> None:
    action = 'Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}'
    gateway.script(_reply(action), _reply("Thought: I can answer.\nAnswer: 3"))
    with track_usage() as used:
        assert str(await ReActAgent(tools=[add], llm=llm).run("What is 1 plus 2?")) == "3"
    assert (used.total.calls, used.total.cost) == (2, Decimal("0.2"))


@pytest.mark.parametrize("way", ["pool", "threads", "gather"])
async def test_calls_at_once(llm: KiloCode, gateway: LocalGateway, way: str) -> None:
    gateway.script(*[_reply()] * 8)
    with track_usage() as used:
        if way == "pool":  # its threads have no copy of this one's context
            with ThreadPoolExecutor(4) as pool:
                await asyncio.wrap_future(pool.submit(lambda: list(pool.map(llm.complete, ["Hi."] * 8))))
        elif way == "threads":
            await asyncio.gather(*[asyncio.to_thread(llm.complete, "Hi.") for _ in range(8)])
        else:
            await asyncio.gather(*[llm.acomplete("Hi.") for _ in range(8)])
    assert (used.total.calls, used.total.cost) == (8, Decimal("0.8"))


async def test_tasks_side_by_side_count_their_own(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(*[_reply()] * 6)

    async def task(calls: int) -> int:
        with track_usage() as used:
            await asyncio.gather(*[llm.achat(HI) for _ in range(calls)])
            return used.total.calls

    with track_usage() as around:
        assert await asyncio.gather(*map(task, (1, 2, 3))) == [1, 2, 3]
    assert around.total.calls == 6


def test_a_query_counts_its_embedding_and_its_answer(llm: KiloCode, gateway: LocalGateway) -> None:
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url)
    with track_usage() as building:
        index = VectorStoreIndex.from_documents([Document(text="The ferry leaves at seven.")], embed_model=embed)
    assert list(building.by_model) == ["openai/text-embedding-3-small"]
    with track_usage() as asking:
        index.as_query_engine(llm=llm).query("When does the ferry leave?")
    assert {model: spent.calls for model, spent in asking.by_model.items()} == {
        "openai/text-embedding-3-small": 1,
        "openai/gpt-5.4": 1,
    }
    with track_usage(limit_usd=0), pytest.raises(BudgetExceededError):
        index.as_query_engine(llm=llm).query("When does the ferry leave?")


async def _begun(stream: Any, llm: KiloCode) -> Any:
    """Ask for a stream and read nothing of it yet."""
    answer = getattr(llm, stream.method)(HI)
    return await answer if stream.method.startswith("a") else answer


async def _read(answer: Any) -> list[Any]:
    return [piece async for piece in answer] if hasattr(answer, "__aiter__") else list(answer)


async def test_a_stream_counts_where_it_was_asked_for(stream: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(*[_reply()] * 2)
    with track_usage() as asked:
        answer = await _begun(stream, llm)
    with track_usage() as read:
        await _read(answer)
    assert (asked.total.calls, read.total.calls) == (1, 0)
    assert asked.total.cost == Decimal("0.1")
    answer = await _begun(stream, llm)
    with track_usage() as read:
        await _read(answer)
    assert read.total.calls == 0


async def test_what_reads_a_stream_keeps_its_own_block(stream: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(*[_reply("One two three.")] * 2)
    with track_usage() as asked:
        answer = await _begun(stream, llm)
    with track_usage() as reading:
        first = await anext(answer) if hasattr(answer, "__anext__") else next(answer)
        await llm.acomplete("Hi.")
        rest = await _read(answer)
    assert (asked.total.calls, reading.total.calls) == (1, 1)
    assert first.delta + "".join(piece.delta for piece in rest) == "One two three."


async def test_a_limit_holds_for_a_stream_that_is_read_later(stream: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(_reply())
    with track_usage(limit_usd="0.1"):
        answer = await _begun(stream, llm)
        await llm.achat(HI)
    with pytest.raises(BudgetExceededError):
        await _read(answer)
    assert len(gateway.chat_requests) == 1


async def test_a_stream_that_is_left_is_a_call_of_unknown_cost(
    stream: Any, llm: KiloCode, gateway: LocalGateway
) -> None:
    gateway.script(_reply("One two three four."))
    with track_usage() as used:
        answer = await _begun(stream, llm)
        if hasattr(answer, "aclose"):
            await anext(answer)
            await answer.aclose()
        else:
            next(answer)
            answer.close()
    assert (used.total.calls, used.total.calls_without_cost) == (1, 1)
