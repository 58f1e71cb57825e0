"""Limits in time: they hold although the gateway keeps the line alive, and an answer that is left ends at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import openai
import pytest
from langchain_core import exceptions as core

from kilocode_gateway import ConfigurationError, KiloCodeError, TimeoutExceededError, UnknownSettingError
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode
from tests.core.helpers import soon, time_limits

LIMIT = 0.25
SOON = 30.0
"""Seconds in which a call with that limit must have ended, on the slowest machine; without the limit it takes 60."""
HEAD = {"id": "gen-1", "model": "a/b"}
WORD = {**HEAD, "choices": [{"index": 0, "delta": {"content": "word "}}]}
COMMENTS = [": KILO PROCESSING\n\n"] * 3000


@pytest.mark.parametrize("where", ["constructor", "call", "bind"])
async def test_total_timeout(ask: Any, make_model: Any, gateway: Any, where: str) -> None:
    gateway.script(Reply.text("word " * 2000, stall_after=900, stall=60.0))
    settings = {"total_timeout": LIMIT}
    model = make_model(**settings) if where == "constructor" else make_model()
    model = model.bind(**settings) if where == "bind" else model
    begin = time.monotonic()
    with pytest.raises(TimeoutExceededError, match="total_timeout") as caught:
        await ask(model, "Hello", **(settings if where == "call" else {}))
    assert time.monotonic() - begin < SOON
    error = caught.value
    assert isinstance(error, (openai.APITimeoutError, core.ModelTimeoutError))
    assert isinstance(error, core.ModelTimeoutError)
    assert error.is_retryable
    assert ("word " * 2000).startswith(error.text)


async def test_first_token_timeout_holds_under_keep_alive_comments(
    ask_streamed: Any, make_model: Any, gateway: Any
) -> None:
    gateway.script(Reply.chunks(COMMENTS, chunk_delay=0.02))
    begin = time.monotonic()
    with pytest.raises(TimeoutExceededError, match=r"had not begun.*first_token_timeout"):
        await ask_streamed(make_model(first_token_timeout=LIMIT), "Hello")
    assert time.monotonic() - begin < SOON


async def test_first_token_timeout_lets_a_slow_answer_end(ask_streamed: Any, make_model: Any, gateway: Any) -> None:
    last = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    for seconds in time_limits():
        gateway.script(Reply.chunks([*[WORD] * 4, last], chunk_delay=seconds / 3))
        try:
            answer = await ask_streamed(make_model(first_token_timeout=seconds), "Hello")
        except TimeoutExceededError:
            continue
        assert answer.text == "word " * 4
        break


async def test_invoke_over_a_stream_has_the_first_token_limit(make_model: Any, gateway: Any) -> None:
    model = make_model(first_token_timeout=LIMIT, streaming=True)
    gateway.script(*[Reply.chunks(COMMENTS, chunk_delay=0.02)] * 2)
    for way in (model.invoke, model.ainvoke):
        with pytest.raises(TimeoutExceededError, match="first_token_timeout"):
            await _given(way, "Hello")


async def _given(way: Any, question: str) -> Any:
    answer = way(question)
    return await answer if asyncio.iscoroutine(answer) else answer


async def test_timeout_is_in_seconds_per_read(ask: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("word " * 2000, stall_after=900, stall=60.0))
    begin = time.monotonic()
    with pytest.raises(TimeoutExceededError, match=r"within 0\.25 seconds"):
        await ask(make_model(timeout=LIMIT), "Hello")
    assert time.monotonic() - begin < SOON


async def test_retries_count(ask: Any, make_model: Any, make_gateway: Any) -> None:
    busy = Reply.raw(503, {"error": "busy"}, {"retry-after-ms": "1"}, delay=0.02)
    for seconds in time_limits():
        gateway = make_gateway()
        gateway.script(busy, busy, Reply.text("late", delay=60.0))
        with pytest.raises(KiloCodeError) as caught:
            await ask(make_model(base_url=gateway.base_url, total_timeout=seconds, max_retries=9), "Hello")
        if len(gateway.requests) > 2:
            break
    assert isinstance(caught.value, TimeoutExceededError)
    assert len(gateway.requests) == 3


async def test_fallback_after_a_time_limit(ask: Any, make_model: Any, make_gateway: Any) -> None:
    """LangChain's own machinery acts on it: `with_fallbacks` asks the next model with its own time."""
    second, stalling = "openai/gpt-5.4", Reply.text("word " * 2000, stall_after=0, stall=60.0)
    gateway = make_gateway(answer=lambda request: Reply.text("Here.") if request.json["model"] == second else stalling)
    first = make_model(base_url=gateway.base_url, total_timeout=LIMIT)
    falling = first.with_fallbacks([make_model(base_url=gateway.base_url, model=second)])
    assert (await ask(falling, "Hello")).text == "Here."


@pytest.mark.parametrize("limit", ["first_token_timeout", "total_timeout"])
@pytest.mark.parametrize("wrong", [0, -1, "soon", True])
async def test_wrong_limit_is_refused(make_model: Any, limit: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{limit} must be a positive number of seconds"):
        make_model(**{limit: wrong})
    with pytest.raises(ConfigurationError, match=f"{limit} must be a positive number of seconds"):
        make_model().invoke("Hello", **{limit: wrong})
    with pytest.raises(core.ModelError) as caught:
        make_model().invoke("Hello", **{limit: wrong})
    assert not caught.value.is_retryable


def test_limits_of_the_base_class_are_off() -> None:
    assert ChatKiloCode().stream_chunk_timeout is None
    with pytest.raises(ConfigurationError, match="first_token_timeout"):
        ChatKiloCode(stream_chunk_timeout=5)
    with pytest.raises(UnknownSettingError, match="'total_timeout'"):
        ChatKiloCode(total_timeot=5)


# Leaving an answer


SLOW = Reply.text("word " * 2000, chunk_delay=0.02)


@pytest.mark.parametrize("limits", [{}, {"total_timeout": 30.0}, {"fallback_models": ["openai/gpt-5.4"]}])
async def test_break_closes_the_connection(make_model: Any, gateway: Any, limits: dict[str, Any]) -> None:
    gateway.script(SLOW)
    for chunk in make_model(**limits).stream("Count."):
        if chunk.text:
            break
    del chunk
    assert await soon(lambda: gateway.disconnects)


@pytest.mark.parametrize("limits", [{}, {"total_timeout": 30.0}, {"fallback_models": ["openai/gpt-5.4"]}])
@pytest.mark.parametrize("how", ["close", "cancel", "timeout"])
async def test_end_of_an_async_stream_closes_the_connection(
    make_model: Any, gateway: Any, how: str, limits: dict[str, Any]
) -> None:
    gateway.script(SLOW)
    model = make_model(**limits)
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(model.astream("Count.")) as pieces:
            async for chunk in pieces:
                if chunk.text:
                    begun.set()
                    if how == "close":
                        return

    if how == "timeout":
        gateway.script(*[SLOW] * 8)
        for seconds in time_limits():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), seconds)
            if begun.is_set():
                break
    else:
        task = asyncio.create_task(read())
        await begun.wait()
        if how == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait([task])
    assert await soon(lambda: gateway.disconnects)


async def test_cancelled_invoke_closes_the_connection(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("word", delay=60.0))
    task = asyncio.create_task(model.ainvoke("Hello"))
    assert await soon(lambda: gateway.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(lambda: gateway.disconnects)
