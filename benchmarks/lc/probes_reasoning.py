"""Probes of reasoning: is it read, and does it go back to the model exactly as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.load import dumps, loads
from langchain_core.messages import HumanMessage, ToolMessage

from benchmarks.lc.bench import ALL, INVOKE, STREAM, probe
from benchmarks.probing import LOST, YES, holds, kept
from benchmarks.replies import CALL, CLAUDE, SHAPES, THOUGHT, reply, told, told_back

if TYPE_CHECKING:
    from benchmarks.lc.bench import Bench

GROUP = "Reasoning"


@probe(GROUP, ways=INVOKE)
def text_in_invoke(bench: Bench) -> str:
    """Reasoning text, whole answers."""
    bench.script(reply(*SHAPES["anthropic"], {"content": "Here."}))
    return kept(holds(bench.ask(), THOUGHT))


@probe(GROUP, ways=STREAM)
def text_in_streams(bench: Bench) -> str:
    """Reasoning text, streams."""
    bench.script(reply(*SHAPES["anthropic"], {"content": "Here."}))
    return kept(holds(bench.ask(), THOUGHT))


@probe(GROUP)
def reasoning_block(bench: Bench) -> str:
    """Reasoning as a block of `content_blocks`."""
    bench.script(reply(*SHAPES["anthropic"], {"content": "Here."}))
    return _judge_blocks(bench.ask())


@probe(GROUP)
def told_in_several_forms(bench: Bench) -> str:
    """Reasoning that comes in three forms at once is read once."""
    deltas = [{**told(text, CLAUDE), "reasoning_content": text} for text in ("First I look. ", "Then I tell.")]
    bench.script(reply(*deltas, {"content": "Here."}))
    return _judge_blocks(bench.ask())


@probe(GROUP)
def reasoning_content(bench: Bench) -> str:
    """Reasoning of upstreams that write `reasoning_content`."""
    bench.script(reply(*SHAPES["kimi"], {"content": "Here."}))
    return kept(holds(bench.ask(), THOUGHT))


def _judge_blocks(answer: Any) -> str:
    told = "".join(block.get("reasoning", "") for block in answer.content_blocks if block["type"] == "reasoning")
    if told == THOUGHT:
        return YES
    return "no: doubled" if told else LOST


@probe(GROUP)
def anthropic_back(bench: Bench) -> str:
    """Anthropic's signed reasoning goes back with a tool's result, unchanged."""
    return _judge_back(bench, "anthropic")


@probe(GROUP)
def gemini_back(bench: Bench) -> str:
    """Gemini's encrypted reasoning goes back, unchanged."""
    return _judge_back(bench, "gemini")


@probe(GROUP)
def openai_back(bench: Bench) -> str:
    """OpenAI's summary and encrypted reasoning go back, unchanged."""
    return _judge_back(bench, "openai")


@probe(GROUP)
def kimi_back(bench: Bench) -> str:
    """Kimi's `reasoning_content` goes back."""
    sent = _tool_loop(bench, "kimi")
    return kept(THOUGHT in (sent.get("reasoning_content"), sent.get("reasoning")))


@probe(GROUP, ways=ALL)
def back_after_load(bench: Bench) -> str:
    """Signed reasoning goes back after `dumps` and `loads` of the message."""
    return _judge_back(bench, "anthropic", stored=True)


def _tool_loop(bench: Bench, shape: str, *, stored: bool = False) -> dict[str, Any]:
    """Run a tool call, and give the assistant's message that the next request holds."""
    bench.script(reply(*SHAPES[shape], {"tool_calls": [CALL]}, finish="tool_calls"), reply({"content": "Done."}))
    model = bench.model()
    answer = bench.ask(model)
    if stored:
        answer = loads(dumps(answer), allowed_objects="all")
    history = [HumanMessage("Hello"), answer, ToolMessage("seen", tool_call_id="call_1")]
    bench.ask(model, history)
    found: dict[str, Any] = bench.sent["messages"][1]
    return found


def _judge_back(bench: Bench, shape: str, *, stored: bool = False) -> str:
    return told_back(_tool_loop(bench, shape, stored=stored).get("reasoning_details"), shape)


@probe(GROUP)
def reasoning_setting(bench: Bench) -> str:
    """A reasoning effort goes out in the gateway's own form."""
    bench.script(reply({"content": "Here."}))
    bench.ask(bench.model(**bench.subject.spelt("reasoning", {"effort": "high"})))
    return kept(bench.sent.get("reasoning") == {"effort": "high"}, "no: not sent so")
