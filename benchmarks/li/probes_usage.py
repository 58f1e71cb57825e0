"""Probes of what an answer tells about itself, and of what counts it."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.tools import FunctionTool

from benchmarks.li.bench import ALL, QUERY, RUNS, probe, told
from benchmarks.probing import YES, kept
from benchmarks.replies import COST, OUTER, SERVED, USAGE, call, reply, say

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

GROUP = "Usage, cost and origin"
COUNTS = (USAGE["prompt_tokens"], USAGE["completion_tokens"])


def look() -> str:
    """Look."""
    return "There."


def _told(bench: Bench, wanted: object) -> str:
    bench.script(say())
    return told(bench.ask(), wanted)


@probe(GROUP, ways=ALL)
def details(bench: Bench) -> str:
    """Tokens read from a cache, written to a cache, and of reasoning."""
    bench.script(say())
    answer = bench.ask()
    wanted = {
        "cache reads": USAGE["prompt_tokens_details"]["cached_tokens"],
        "cache writes": USAGE["prompt_tokens_details"]["cache_write_tokens"],
        "reasoning": USAGE["completion_tokens_details"]["reasoning_tokens"],
    }
    found = {name: told(answer, value) for name, value in wanted.items()}
    return next((verdict for verdict in found.values() if verdict != YES), YES)


@probe(GROUP, ways=ALL)
def served_model(bench: Bench) -> str:
    """The model that served."""
    return _told(bench, SERVED)


@probe(GROUP, ways=ALL)
def provider_name(bench: Bench) -> str:
    """The provider that served."""
    return _told(bench, OUTER["provider"])


@probe(GROUP, ways=ALL)
def finish_reason(bench: Bench) -> str:
    """Why the answer ended."""
    bench.script(reply({"content": "Half an"}, finish="length"))
    # The last chunk of a stream brings usage alone, as OpenRouter writes it: the reason stands in the one before.
    return told(bench.ask(), "length")


@probe(GROUP, ways=ALL)
def answer_id(bench: Bench) -> str:
    """The gateway's id of the answer."""
    return _told(bench, OUTER["id"])


@probe(GROUP, ways=ALL)
def counted(bench: Bench) -> str:
    """`TokenCountingHandler` counts exactly."""
    bench.script(say())
    counter = TokenCountingHandler()
    bench.ask(bench.model(callback_manager=CallbackManager([counter])))
    return _judge_counts(counter)


def _judge_counts(counter: TokenCountingHandler) -> str:
    found = (counter.prompt_llm_token_count, counter.completion_llm_token_count)
    return kept(found == COUNTS, f"no: {found[0]} and {found[1]} instead of {COUNTS[0]} and {COUNTS[1]}")


@probe(GROUP, ways=QUERY)
def counted_in_engines(bench: Bench) -> str:
    """`TokenCountingHandler` counts a query engine's tokens exactly."""
    bench.script(say())
    counter = TokenCountingHandler()
    model = bench.model()
    before = Settings.callback_manager
    Settings.callback_manager = CallbackManager([counter])
    try:
        bench.query(lambda: SummaryIndex.from_documents([Document(text="One.")]).as_query_engine(llm=model))
    finally:
        Settings.callback_manager = before
    return _judge_counts(counter)


@probe(GROUP, ways=RUNS)
def counted_in_agents(bench: Bench) -> str:
    """`TokenCountingHandler` counts the tokens of an agent of two turns exactly."""
    bench.script(reply(call("look", "{}", index=0, id="a"), finish="tool_calls"), say())
    counter = TokenCountingHandler()
    bench.agent([FunctionTool.from_defaults(look)], bench.model(callback_manager=CallbackManager([counter])))
    found = (counter.prompt_llm_token_count, counter.completion_llm_token_count)
    return kept(found == tuple(2 * one for one in COUNTS), f"no: {found[0]} and {found[1]}")


@probe(GROUP, ways=ALL)
def block_of_code(bench: Bench) -> str:
    """Tokens and cost of a whole block of code."""
    track = _tracker(bench)
    if track is None:
        return "no: nothing for it"
    bench.script(say(), say())
    model = bench.model()
    with track() as used:
        for _ in range(2):
            bench.ask(model)
    found = (used.total.input_tokens, used.total.cost)
    wanted = (2 * COUNTS[0], 2 * Decimal(str(COST)))
    return f"{YES}, with `{track.__name__}`" if found == wanted else f"no: {found[0]} tokens, {found[1]} USD"


@probe(GROUP, ways=RUNS)
def agent_in_a_block(bench: Bench) -> str:
    """Tokens and cost of an agent's run, with a limit that stops it."""
    track = _tracker(bench)
    if track is None:
        return "no: nothing for it"
    bench.script(*[reply(call("look", "{}", index=0, id="a"), finish="tool_calls")] * 5, say())
    stopped = ""
    with track(limit_usd=2.5 * COST) as used:
        try:
            bench.agent([FunctionTool.from_defaults(look)])
        except Exception as error:  # noqa: BLE001 - whatever the class under test stops with
            stopped = repr(error)
    held = "Budget" in stopped and bench.asked == 3 and used.total.cost == 3 * Decimal(str(COST))  # noqa: PLR2004 - the first beyond the limit
    return f"{YES}, with `{track.__name__}`" if held else f"no: {bench.asked} requests"


def _tracker(bench: Bench) -> Any:
    module, _, name = bench.subject.beside.get("usage", "").partition(":")
    return getattr(importlib.import_module(module), name) if module else None
