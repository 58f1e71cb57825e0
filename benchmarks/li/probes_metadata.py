"""Probes of what a class knows of its model, and of what the framework makes of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llama_index.core import SummaryIndex, get_response_synthesizer
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.utils import get_tokenizer

from benchmarks.li.bench import QUERY, SYNC, converse, entry, probe
from benchmarks.li.subjects import WINDOWS
from benchmarks.probing import MODEL, OWN_MODEL, kept, watched
from benchmarks.replies import say

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

KNOWS = "What it knows of a model, without being told"
LONG = "Long texts (8,000 and 1,000,000 tokens of context)"
FOR_THE_ANSWER = 256
"""Tokens that the framework leaves free for the answer where `max_tokens` is not set."""
PARTS = [f"Part {number}. {'Nets and barrels stood about on the grey quay. ' * 340}" for number in range(6)]


def _metadata(bench: Bench, name: str, **settings: Any) -> Any:
    model = bench.model(name, **settings)
    if not bench.way.startswith("a"):
        with watched():
            return model.metadata

    async def inside() -> Any:
        return model.metadata

    with watched():
        return bench.run(inside())


def _judge_window(bench: Bench, name: str, wanted: int, **settings: Any) -> str:
    found = _metadata(bench, name, **settings).context_window
    return kept(found == wanted, f"no: {found:,} instead of {wanted:,}")


@probe(KNOWS, ways=("chat", "achat"))
def window(bench: Bench) -> str:
    """The context window of a model that other routers have too."""
    return _judge_window(bench, MODEL, 1_000_000)


@probe(KNOWS, ways=("chat", "achat"))
def window_of_its_own(bench: Bench) -> str:
    """The context window of the gateway's own models."""
    return _judge_window(bench, OWN_MODEL, 1_000_000)


@probe(KNOWS, ways=("chat", "achat"))
def window_that_changed(bench: Bench) -> str:
    """The context window as the gateway tells it today."""
    bench.list_models(entry(MODEL, 123_456, "tools"))
    return _judge_window(bench, MODEL, 123_456)


@probe(KNOWS, ways=SYNC)
def window_given(bench: Bench) -> str:
    """`context_window` can be given instead."""
    return _judge_window(bench, MODEL, 5_000, context_window=5_000)


@probe(KNOWS, ways=("chat", "achat"))
def calls_tools(bench: Bench) -> str:
    """Whether a model calls tools."""
    bench.list_models(entry("with/tools", 9_000, "tools"), entry("no/tools", 9_000))
    settings = dict.fromkeys(bench.subject.always)
    found = []
    for name in ("with/tools", "no/tools"):
        model = bench.model(name, bare=True, **({"is_chat_model": True} if "is_chat_model" in settings else {}))
        with watched():
            found.append(model.metadata.is_function_calling_model)
    return kept(found == [True, False], f"no: {found[0]} and {found[1]}")


@probe(KNOWS, ways=SYNC)
def calls_tools_given(bench: Bench) -> str:
    """`is_function_calling_model` can be given instead."""
    found = [_metadata(bench, MODEL, is_function_calling_model=one).is_function_calling_model for one in (True, False)]
    return kept(found == [True, False])


@probe(KNOWS, ways=SYNC)
def free_output(bench: Bench) -> str:
    """A `max_tokens` that nobody set is not made up from the list of models."""
    found = _metadata(bench, MODEL).num_output
    return kept(found == -1, f"no: {found}")


@probe(KNOWS, ways=SYNC)
def nothing_asked(bench: Bench) -> str:
    """Making a model sends no request."""
    bench.model()
    return kept(not bench.gateway.requests, "no: asked")


def _model(bench: Bench, size: str, **settings: Any) -> Any:
    name = f"{size}/model"
    bench.list_models(entry(name, WINDOWS[size], "tools"))
    return bench.model(name, max_tokens=None, **settings)


def _arrived(bench: Bench) -> list[int]:
    """Give the tokens of each request's messages, as they came over the wire."""
    count = get_tokenizer()
    _ = bench.latest
    return [sum(len(count(one["content"])) for one in request.json["messages"]) for request in bench.posts]


def _judge_mode(bench: Bench, mode: ResponseMode, size: str) -> str:
    """Answer over long texts: each request must fit, and there must be no more than are needed."""
    nodes = [NodeWithScore(node=TextNode(text=part), score=1.0) for part in PARTS]
    model = _model(bench, size)
    bench.script(*[say("Nets.")] * 30)
    with watched():
        made = get_response_synthesizer(llm=model, response_mode=mode)
    bench.do(made, "asynthesize" if bench.way == "aquery" else "synthesize", "What stood about?", nodes)
    found = _arrived(bench)
    if max(found) > WINDOWS[size] - FOR_THE_ANSWER:
        return f"no: sent {max(found):,} tokens"
    least = len(PARTS) if mode == ResponseMode.REFINE else 1
    if size == "small" and mode != ResponseMode.REFINE:
        whole = sum(len(get_tokenizer()(part)) for part in PARTS)
        least = math.ceil(whole / (WINDOWS["small"] - FOR_THE_ANSWER))
    most = least if size == "large" else 2 * least + 1
    return kept(least <= len(found) <= most, f"no: {len(found)} requests")


@probe(LONG, ways=QUERY)
def compact_small(bench: Bench) -> str:
    """`compact`, 8,000."""
    return _judge_mode(bench, ResponseMode.COMPACT, "small")


@probe(LONG, ways=QUERY)
def compact_large(bench: Bench) -> str:
    """`compact`, 1,000,000: one request."""
    return _judge_mode(bench, ResponseMode.COMPACT, "large")


@probe(LONG, ways=QUERY)
def refine_small(bench: Bench) -> str:
    """`refine`, 8,000."""
    return _judge_mode(bench, ResponseMode.REFINE, "small")


@probe(LONG, ways=QUERY)
def refine_large(bench: Bench) -> str:
    """`refine`, 1,000,000: one request for each text."""
    return _judge_mode(bench, ResponseMode.REFINE, "large")


@probe(LONG, ways=QUERY)
def tree_small(bench: Bench) -> str:
    """`tree_summarize`, 8,000."""
    return _judge_mode(bench, ResponseMode.TREE_SUMMARIZE, "small")


@probe(LONG, ways=QUERY)
def tree_large(bench: Bench) -> str:
    """`tree_summarize`, 1,000,000: one request."""
    return _judge_mode(bench, ResponseMode.TREE_SUMMARIZE, "large")


def _judge_summary(bench: Bench, size: str) -> str:
    model = _model(bench, size)
    bench.script(*[say("Nets.")] * 30)
    index = SummaryIndex([TextNode(text=part) for part in PARTS])
    bench.query(lambda: index.as_query_engine(llm=model))
    found = _arrived(bench)
    if max(found) > WINDOWS[size]:
        return f"no: sent {max(found):,} tokens"
    return kept(size == "small" or len(found) == 1, f"no: {len(found)} requests")


@probe(LONG, ways=QUERY)
def summary_small(bench: Bench) -> str:
    """A `SummaryIndex`, 8,000."""
    return _judge_summary(bench, "small")


@probe(LONG, ways=QUERY)
def summary_large(bench: Bench) -> str:
    """A `SummaryIndex`, 1,000,000: one request."""
    return _judge_summary(bench, "large")


def _judge_conversation(bench: Bench, size: str) -> str:
    """Converse about more than a small window holds: what fits must be kept, and nothing else sent."""
    model = _model(bench, size)
    bench.script(*[say("Yes.")] * 8)
    questions = [f"Question {number}. {'What about the nets? ' * 300}" for number in range(8)]
    with watched():
        engine = SimpleChatEngine.from_defaults(llm=model)
    converse(bench, engine, questions)
    messages, tokens = bench.sent["messages"], max(_arrived(bench))
    if tokens > WINDOWS[size]:
        return f"no: sent {tokens:,} tokens"
    wanted = 2 * len(questions) - 1 if size == "large" else 2
    return kept(len(messages) >= wanted, f"no: {len(messages)} messages kept")


@probe(LONG)
def conversation_small(bench: Bench) -> str:
    """A long conversation, 8,000: what fits is kept."""
    return _judge_conversation(bench, "small")


@probe(LONG)
def conversation_large(bench: Bench) -> str:
    """A long conversation, 1,000,000: nothing is forgotten."""
    return _judge_conversation(bench, "large")


def _judge_memory(bench: Bench, size: str) -> str:
    model = _model(bench, size)
    with watched():
        found = ChatMemoryBuffer.from_defaults(llm=model).token_limit
    return kept(found == WINDOWS[size] * 3 // 4, f"no: {found:,} tokens")


@probe(LONG, ways=SYNC)
def memory_large(bench: Bench) -> str:
    """A `ChatMemoryBuffer` is three quarters of the window, 1,000,000."""
    return _judge_memory(bench, "large")
