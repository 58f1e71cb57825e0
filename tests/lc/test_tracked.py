"""`track_usage` over LangChain: batches, branches, tasks and agents, one block inside another, up to a limit."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import tool

from kilocode_gateway import BudgetExceededError, track_usage
from kilocode_gateway.local import Reply
from langchain_kilocode import KiloCodeEmbeddings
from tests.core.helpers import soon

USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.1}


def _reply(text: str = "Hello", **more: Any) -> Reply:
    return Reply.text(text, usage=USED, **more)


async def test_models_are_told_apart(ask: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(_reply(model="a/one"), _reply(model="b/two"), _reply(model="a/one"))
    with track_usage() as used:
        for _ in range(3):
            await ask(make_model(model="kilo/auto"), "Hello")
    assert {name: spent.cost for name, spent in used.by_model.items()} == {
        "a/one": Decimal("0.2"),
        "b/two": Decimal("0.1"),
    }
    assert (used.total.calls, used.total.input_tokens, used.total.output_tokens) == (3, 30, 15)


@pytest.mark.parametrize("way", ["batch", "abatch", "branches", "pool", "gather"])
async def test_calls_at_once(model: Any, gateway: Any, way: str) -> None:
    gateway.script(*[_reply()] * 8)
    texts = [str(number) for number in range(8)]
    with track_usage() as used:
        if way == "batch":
            model.batch(texts, {"max_concurrency": 4})
        elif way == "abatch":
            await model.abatch(texts, {"max_concurrency": 4})
        elif way == "branches":
            RunnableParallel(dict.fromkeys(texts, model)).invoke("Hello", {"max_concurrency": 4})
        elif way == "pool":
            with ThreadPoolExecutor(4) as pool:
                # These threads have no copy of this one's context.
                await asyncio.wrap_future(pool.submit(lambda: list(pool.map(model.invoke, texts[:4]))))
                await asyncio.to_thread(lambda: list(map(model.invoke, texts[4:])))
        else:
            await asyncio.gather(*map(model.ainvoke, texts))
    assert (used.total.calls, used.total.cost) == (8, Decimal("0.8"))


async def test_tasks_side_by_side_count_their_own(model: Any, gateway: Any) -> None:
    gateway.script(*[_reply()] * 6)

    async def task(calls: int) -> int:
        with track_usage() as used:
            await asyncio.gather(*[model.ainvoke("Hello") for _ in range(calls)])
            return used.total.calls

    with track_usage() as around:
        assert await asyncio.gather(*map(task, (1, 2, 3))) == [1, 2, 3]
    assert around.total.calls == 6


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}."


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_agent_in_a_block_inside_another(model: Any, gateway: Any, way: str) -> None:
    calls = [{"name": "get_weather", "arguments": {"city": "Paris"}}]
    gateway.script(_reply(), _reply("", tool_calls=calls), _reply())
    agent = create_agent(model, [get_weather])
    question = {"messages": [HumanMessage("The weather in Paris?")]}
    with track_usage() as outer:
        model.invoke("Hello")
        with track_usage() as inner:
            if way == "invoke":
                agent.invoke(question)
            elif way == "ainvoke":
                await agent.ainvoke(question)
            elif way == "stream":
                assert list(agent.stream(question, stream_mode="messages"))
            else:
                assert [piece async for piece in agent.astream(question, stream_mode="messages")]
    assert (inner.total.calls, outer.total.calls) == (2, 3)


async def test_limit_stops_an_agent_between_its_calls(model: Any, gateway: Any) -> None:
    calls = [{"name": "get_weather", "arguments": {"city": "Paris"}}]
    gateway.script(*[_reply("", tool_calls=calls)] * 9)
    with track_usage(limit_usd="0.25") as used, pytest.raises(BudgetExceededError, match="3 calls") as caught:
        await create_agent(model, [get_weather]).ainvoke({"messages": [HumanMessage("The weather in Paris?")]})
    assert caught.value.details == {"spent_usd": Decimal("0.3"), "limit_usd": Decimal("0.25")}
    assert used.total.cost == Decimal("0.3")


async def test_limit_never_cuts_a_running_stream(model: Any, gateway: Any) -> None:
    gateway.script(_reply("One two three four."), _reply())
    with track_usage(limit_usd="0.1") as used:
        stream = model.stream("Hello")
        first = next(stream).text
        await model.ainvoke("Hello")
        with pytest.raises(BudgetExceededError):
            model.invoke("Hello")
        assert first + "".join(chunk.text for chunk in stream) == "One two three four."
    assert used.total.cost == Decimal("0.2")


async def test_stream_that_is_left_is_a_call_of_unknown_cost(model: Any, gateway: Any) -> None:
    gateway.script(_reply("One two three four."), _reply("One two three four."))
    with track_usage() as used:
        for _ in model.stream("Hello"):
            break
        stream = model.astream("Hello")
        await anext(stream)
        await stream.aclose()
        # LangChain leaves it to the event loop to close what it read from.
        assert await soon(lambda: used.total.calls > 1)
    assert (used.total.calls, used.total.calls_without_cost) == (2, 2)


def test_embeddings_count_too(gateway: Any) -> None:
    embeddings = KiloCodeEmbeddings(base_url=gateway.base_url, api_key=gateway.api_key)
    with track_usage() as used:
        embeddings.embed_query("Hello")
    assert used.total.calls == 1
    with track_usage(limit_usd=0), pytest.raises(BudgetExceededError):
        embeddings.embed_query("Hello")
