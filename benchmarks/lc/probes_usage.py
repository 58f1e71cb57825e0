"""Probes of what an answer tells about itself: tokens, cost, the model and the provider that served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.lc.bench import INVOKE, STREAM, probe
from benchmarks.probing import YES, holds, kept, leaves
from benchmarks.replies import COST, OUTER, SERVED, USAGE, chunk, say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.lc.bench import Bench

GROUP = "Usage and origin"


@probe(GROUP, ways=INVOKE)
def usage_in_invoke(bench: Bench) -> str:
    """Token usage, whole answers."""
    return _judge_usage(bench)


@probe(GROUP, ways=STREAM)
def usage_in_streams(bench: Bench) -> str:
    """Token usage, streams."""
    return _judge_usage(bench)


def _judge_usage(bench: Bench) -> str:
    bench.script(say())
    used = bench.ask().usage_metadata
    return kept(used and used["total_tokens"] == USAGE["total_tokens"])


@probe(GROUP, ways=STREAM)
def one_chunk_with_usage(bench: Bench) -> str:
    """Exactly one chunk of a stream carries usage."""
    bench.script(Reply.chunks([chunk({"content": "Hi"}), chunk({}, "stop"), {**OUTER, "choices": [], "usage": USAGE}]))
    pieces = bench.pieces(bench.model())
    number = sum(piece.usage_metadata is not None for piece in pieces)
    return kept(number == 1, f"no: {number} chunks")


@probe(GROUP)
def token_details(bench: Bench) -> str:
    """Tokens read from a cache, written to a cache, and of reasoning."""
    bench.script(say())
    used = bench.ask().usage_metadata or {}
    taken, made = used.get("input_token_details", {}), used.get("output_token_details", {})
    found = {
        "cache reads": taken.get("cache_read") == USAGE["prompt_tokens_details"]["cached_tokens"],
        "cache writes": taken.get("cache_creation") == USAGE["prompt_tokens_details"]["cache_write_tokens"],
        "reasoning": made.get("reasoning") == USAGE["completion_tokens_details"]["reasoning_tokens"],
    }
    lost = [name for name, there in found.items() if not there]
    return kept(not lost, f"no: {', '.join(lost)} lost")


@probe(GROUP, ways=INVOKE)
def cost_in_invoke(bench: Bench) -> str:
    """The cost in USD, whole answers."""
    return _judge_cost(bench)


@probe(GROUP, ways=STREAM)
def cost_in_streams(bench: Bench) -> str:
    """The cost in USD, streams."""
    return _judge_cost(bench)


def _judge_cost(bench: Bench) -> str:
    bench.script(say())
    return kept(any(str(leaf) == str(COST) for leaf in leaves(bench.ask())))


@probe(GROUP)
def served_model(bench: Bench) -> str:
    """The model that served."""
    bench.script(say())
    return _judge_name(bench.ask())


@probe(GROUP, ways=STREAM)
def finish_told_twice(bench: Bench) -> str:
    """A finish reason that is told twice is read once, the model's name too."""
    bench.script(Reply.chunks([chunk({"content": "Hi"}), chunk({}, "stop"), chunk({}, "stop", usage=USAGE)]))
    answer = bench.ask()
    told = answer.response_metadata.get("finish_reason")
    return _judge_name(answer) if told == "stop" else f"no: {told!r}"


def _judge_name(answer: Any) -> str:
    name = answer.response_metadata.get("model_name")
    if name == SERVED:
        return YES
    return "no: doubled" if name and name.startswith(SERVED) else "no: lost"


@probe(GROUP)
def provider_name(bench: Bench) -> str:
    """The provider that served."""
    bench.script(say())
    return kept(holds(bench.ask(), OUTER["provider"]))


@probe(GROUP)
def answer_id(bench: Bench) -> str:
    """The gateway's id of the answer."""
    bench.script(say())
    return kept(holds(bench.ask(), OUTER["id"]))
