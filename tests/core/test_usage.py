"""Counting tokens and cost: over frameworks, threads and tasks, one block inside another, up to a limit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import errors as core
from kilocode_gateway.local import Reply
from kilocode_gateway.openai_errors import OPENAI_ERRORS
from kilocode_gateway.usage import UsageTracker, active, counting_in, record, track_usage
from kilocode_gateway.wire import Usage
from tests.core.helpers import BODY, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask

USED = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "cost": 0.1,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def _reply(cost: object = 0.1, **more: Any) -> Reply:
    return Reply.text("ok", usage={**USED, "cost": cost}, **more)


async def test_one_call(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(_reply(model="a/served"))
    with track_usage() as used:
        await ask(transport_to(gateway), BODY)
    total = used.total
    assert (total.calls, total.input_tokens, total.output_tokens, total.total_tokens) == (1, 10, 5, 15)
    assert (total.cache_read_tokens, total.cache_write_tokens, total.reasoning_tokens) == (4, 2, 3)
    assert (total.cost, total.calls_without_cost) == (Decimal("0.1"), 0)
    assert used.by_model == {"a/served": total}
    assert str(used) == "a/served: 1 call, 10 tokens in, 5 tokens out, 0.100000 USD"


async def test_money_is_added_exactly(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(*[_reply(0.1)] * 3)
    with track_usage() as used:
        for _ in range(3):
            await ask(transport_to(gateway), BODY)
    assert used.total.cost == Decimal("0.3")


async def test_an_unknown_cost_is_told(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(_reply(None), _reply(0.25))
    with track_usage() as used:
        await ask(transport_to(gateway), BODY)
        await ask(transport_to(gateway), BODY)
    assert (used.total.cost, used.total.calls_without_cost) == (Decimal("0.25"), 1)
    assert "2 calls (1 of unknown cost), 20 tokens in" in str(used)


async def test_models_are_told_apart(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(_reply(model="b/two"), _reply(model="a/one"), _reply(model="b/two"))
    with track_usage() as used:
        for _ in range(3):
            await ask(transport_to(gateway), BODY)
    assert {model: spent.calls for model, spent in used.by_model.items()} == {"a/one": 1, "b/two": 2}
    assert [line.split(":")[0] for line in str(used).splitlines()] == ["a/one", "b/two", "total"]
    assert str(UsageTracker()) == "total: 0 calls, 0 tokens in, 0 tokens out, 0.000000 USD"


async def test_blocks_inside_one_another(gateway: LocalGateway, ask: Ask) -> None:
    transport = transport_to(gateway)
    with track_usage() as outer:
        await ask(transport, BODY)
        with track_usage() as inner:
            await ask(transport, BODY)
        await ask(transport, BODY)
    await ask(transport, BODY)
    assert (outer.total.calls, inner.total.calls) == (3, 1)


async def test_embeddings_count_and_lists_do_not(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    with track_usage() as used:
        transport.request("POST", "embeddings", {"model": "openai/text-embedding-3-small", "input": ["a b c"]})
        transport.request("GET", "models")
        transport.request("GET", "/api/profile")
    assert used.total.calls == 1
    assert list(used.by_model) == ["openai/text-embedding-3-small"]
    assert used.total.input_tokens > 0


async def test_a_failed_call_counts_nothing(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(Reply.error("empty_500"))
    with track_usage() as used, pytest.raises(core.UpstreamError):
        await ask(transport_to(gateway), BODY)
    assert used.total.calls == 0


async def test_a_stream_where_none_was_asked_for_counts_once(gateway: LocalGateway) -> None:
    body = (
        'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n'
    )
    gateway.script(Reply.raw(200, body))
    with track_usage() as used:
        transport_to(gateway).complete(BODY)
    assert used.total.calls == 1


def test_threads_count_with_and_without_their_starters_context(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    with track_usage() as used, ThreadPoolExecutor(8) as pool:
        for _ in range(32):
            pool.submit(transport.complete, BODY)
            pool.submit(contextvars.copy_context().run, transport.complete, BODY)
    assert used.total.calls == 64
    assert used.total.total_tokens == used.total.input_tokens + used.total.output_tokens > 0


async def test_tasks_count_where_they_were_started(gateway: LocalGateway) -> None:
    transport = transport_to(gateway)
    opened = asyncio.Event()

    async def block(calls: int) -> int:
        with track_usage() as used:
            await asyncio.gather(*[transport.acomplete(BODY) for _ in range(calls)])
            await asyncio.to_thread(transport.complete, BODY)
            opened.set()
            await asyncio.sleep(0.1)
            return used.total.calls

    async def stranger() -> None:
        await opened.wait()
        await transport.acomplete(BODY)

    counts = await asyncio.gather(*[block(number) for number in range(1, 6)], stranger())
    assert counts[:-1] == [2, 3, 4, 5, 6]


def test_a_block_held_open_by_a_generator() -> None:
    def counting() -> Any:
        with track_usage() as used:
            yield used

    first = counting()
    used = contextvars.copy_context().run(next, first)
    record("a/b", Usage(1, 1, 2))
    first.close()
    record("a/b", Usage(1, 1, 2))
    assert used.total.calls in (0, 1)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first one first", "last one first"])
async def test_blocks_of_generators_close_in_any_order(gateway: LocalGateway, ask: Ask, order: tuple[int, int]) -> None:
    def counting() -> Any:
        with track_usage(limit_usd=0.1) as used:
            yield used

    blocks = [counting(), counting()]
    counts = [next(block) for block in blocks]
    gateway.script(_reply(0.1))
    await ask(transport_to(gateway), BODY)
    blocks[order[0]].close()
    with pytest.raises(core.BudgetExceededError):
        await ask(transport_to(gateway), BODY)
    blocks[order[1]].close()
    await ask(transport_to(gateway), BODY)
    assert [used.total.calls for used in counts] == [1, 1]


def test_many_threads_add_up_exactly() -> None:
    def count(context: contextvars.Context) -> None:
        for _ in range(500):
            context.run(record, "a/b", Usage(1, 2, 3, cost=Decimal("0.001")))

    with track_usage() as used:
        threads = [threading.Thread(target=count, args=(contextvars.copy_context(),)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (used.total.calls, used.total.total_tokens, used.total.cost) == (8000, 24_000, Decimal(8))


@pytest.mark.parametrize("limit", [0.15, "0.15", Decimal("0.15")], ids=["float", "text", "Decimal"])
async def test_a_budget_refuses_the_next_call(gateway: LocalGateway, ask: Ask, limit: Any) -> None:
    gateway.script(*[_reply(0.1)] * 3)
    transport = transport_to(gateway, errors=OPENAI_ERRORS)
    with track_usage(limit_usd=limit) as used:
        await ask(transport, BODY)
        await ask(transport, BODY)
        with pytest.raises(
            core.BudgetExceededError, match=r"budget of 0.15 USD is used up: 2 calls.* Nothing was sent"
        ):
            await ask(transport, BODY)
    assert used.total.cost == Decimal("0.2")
    assert len(gateway.requests) == 2
    await ask(transport, BODY)


async def test_a_budget_can_be_raised_inside_its_block(gateway: LocalGateway, ask: Ask) -> None:
    gateway.script(*[_reply(0.1)] * 2)
    transport = transport_to(gateway)
    with track_usage(limit_usd="0.1") as used:
        await ask(transport, BODY)
        with pytest.raises(core.BudgetExceededError):
            await ask(transport, BODY)
        used.limit_usd = Decimal("0.2")
        await ask(transport, BODY)
    assert (used.total.calls, used.total.cost) == (2, Decimal("0.2"))


async def test_a_budget_tells_what_was_spent(gateway: LocalGateway) -> None:
    with track_usage(limit_usd=0), pytest.raises(core.BudgetExceededError) as caught:
        await transport_to(gateway).acomplete(BODY)
    assert caught.value.details == {"spent_usd": Decimal(0), "limit_usd": Decimal(0)}
    assert not caught.value.retryable
    assert gateway.requests == []


async def test_an_outer_budget_holds_inside(gateway: LocalGateway) -> None:
    gateway.script(_reply(1))
    with track_usage(limit_usd=1), track_usage(limit_usd=100):
        await transport_to(gateway).acomplete(BODY)
        with pytest.raises(core.BudgetExceededError, match="budget of 1 USD"):
            await transport_to(gateway).acomplete(BODY)


async def test_a_running_stream_is_never_cut(gateway: LocalGateway) -> None:
    gateway.script(_reply(1), _reply(1))
    transport = transport_to(gateway)
    with track_usage(limit_usd=1) as used:
        pieces = transport.stream(BODY)
        transport.complete(BODY)
        assert [delta.text for delta in pieces] == ["ok", ""]
    assert used.total.cost == 2


async def test_lists_and_profiles_need_no_budget(gateway: LocalGateway) -> None:
    with track_usage(limit_usd=0):
        assert transport_to(gateway).request("GET", "/api/profile/balance")


@pytest.mark.parametrize("limit", ["lots", -1, float("nan"), float("inf"), "", None, [1]], ids=repr)
def test_what_is_no_limit(limit: Any) -> None:
    if limit is None:
        with track_usage(limit_usd=None) as used:
            assert used.limit_usd is None
        return
    with pytest.raises(core.ConfigurationError, match="limit_usd must be an amount"), track_usage(limit_usd=limit):
        pass


async def test_stream_counts_in_the_block_in_which_it_was_asked_for(gateway: LocalGateway) -> None:
    gateway.script(*[Reply.text("One two three.", usage=USED)] * 4)
    transport = transport_to(gateway)
    with track_usage() as used:
        left = transport.stream(BODY)
        aleft = await transport.astream(BODY)
    with track_usage() as later:
        assert list(left)
        assert [piece async for piece in aleft]
        begun_here = transport.stream(BODY)
    assert used.total.calls == 2
    assert later.total.calls == 0
    for _ in begun_here:
        pass
    assert later.total.calls == 1
    unread = transport.stream(BODY)
    for _ in unread:
        pass
    assert (used.total.calls, later.total.calls) == (2, 1)


@pytest.mark.parametrize(
    "reply", [Reply.text("Half an answer " * 80, cut_after=700), Reply.raw(200, 'data: {"id": "g"}')]
)
async def test_answer_that_was_cut_counts_as_a_call_of_unknown_cost(
    gateway: LocalGateway, ask: Ask, reply: Reply
) -> None:
    gateway.script(reply)
    with track_usage() as used, pytest.raises(core.StreamInterruptedError):
        await ask(transport_to(gateway), BODY)
    assert (used.total.calls, used.total.calls_without_cost) == (1, 1)


def test_a_request_may_count_for_the_blocks_of_another_time() -> None:
    usage = Usage(input_tokens=1, output_tokens=1, total_tokens=2, cost=Decimal("0.5"))
    with track_usage() as asked:
        earlier = active()
    with track_usage() as here:
        with counting_in(earlier):
            record("m", usage)
        record("m", usage)
    assert (asked.total.calls, here.total.calls) == (1, 1)
    assert active() == ()
