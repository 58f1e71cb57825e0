"""Probes of tools and structured output."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from benchmarks.lc.bench import STREAM, probe
from benchmarks.probing import LOST, YES, FailedError, kept, watched
from benchmarks.replies import call, chunk, reply
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.lc.bench import Bench

TOOLS = "Tools"
STRUCTURED = "Structured output"


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str


A, B = '{"where": "here"}', '{"what": "it"}'
EXPECTED = [("look", {"where": "here"}), ("tell", {"what": "it"})]
OWN = {"type": "openrouter:web_search", "parameters": {"max_results": 3}}
JOKE = {"setup": "Why?", "punchline": "Because."}


def _judge_calls(bench: Bench, *deltas: dict[str, Any]) -> str:
    bench.script(reply(*deltas, finish="tool_calls"))
    answer = bench.ask()
    found = [(call["name"], call["args"]) for call in answer.tool_calls]
    if found == EXPECTED and not answer.invalid_tool_calls:
        return YES
    number = len(found) + len(answer.invalid_tool_calls)
    if number != len(EXPECTED):
        return f"no: {number} calls instead of {len(EXPECTED)}"
    return "no: calls mixed up"


@probe(TOOLS)
def calls(bench: Bench) -> str:
    """Two tool calls, as they should be written."""
    return _judge_calls(
        bench,
        call("look", "", index=0, id="a"),
        call(arguments=A[:5], index=0),
        call(arguments=A[5:], index=0),
        call("tell", B, index=1, id="b"),
    )


@probe(TOOLS, ways=STREAM)
def no_index(bench: Bench) -> str:
    """Pieces of calls without `index`."""
    return _judge_calls(
        bench, call("look", "", id="a"), call(arguments=A[:5]), call(arguments=A[5:]), call("tell", B, id="b")
    )


@probe(TOOLS, ways=STREAM)
def string_index(bench: Bench) -> str:
    """Pieces whose `index` is a string."""
    return _judge_calls(
        bench,
        call("look", A[:5], index="0", id="a"),
        call(arguments=A[5:], index="0"),
        call("tell", B, index="1", id="b"),
    )


@probe(TOOLS, ways=STREAM)
def all_at_zero(bench: Bench) -> str:
    """Two calls that both come at `index` 0."""
    return _judge_calls(
        bench,
        call("look", A[:5], index=0, id="a"),
        call(arguments=A[5:], index=0),
        call("tell", B, index=0, id="b"),
    )


@probe(TOOLS, ways=STREAM)
def name_repeated(bench: Bench) -> str:
    """Pieces that repeat the call's id and name."""
    return _judge_calls(
        bench,
        call("look", A[:5], index=0, id="a"),
        call("look", A[5:], index=0, id="a"),
        call("tell", B, index=1, id="b"),
    )


@probe(TOOLS)
def empty_arguments(bench: Bench) -> str:
    """A call with empty arguments."""
    bench.script(reply(call("look", "", index=0, id="a"), finish="tool_calls"))
    answer = bench.ask()
    return kept([(call["name"], call["args"]) for call in answer.tool_calls] == [("look", {})], "no: an invalid call")


@probe(TOOLS)
def wrong_arguments(bench: Bench) -> str:
    """Arguments that are no JSON are kept, and go back to the model."""
    bench.script(reply(call("look", "no json", index=0, id="a"), finish="tool_calls"), reply({"content": "Sorry."}))
    model = bench.model()
    answer = bench.ask(model)
    if [call["args"] for call in answer.invalid_tool_calls] != ["no json"]:
        return LOST
    bench.ask(model, [HumanMessage("Go."), answer, ToolMessage("no", tool_call_id="a")])
    sent = bench.sent["messages"][1].get("tool_calls") or []
    return kept([call["function"]["arguments"] for call in sent] == ["no json"], "no: not sent back")


@probe(TOOLS)
def any_tool(bench: Bench) -> str:
    """`tool_choice="any"` with two tools."""
    bench.script(reply({"content": "Hm."}))
    bench.ask(bench.model().bind_tools([look, Joke], tool_choice="any"))
    return kept(bench.sent.get("tool_choice") == "required", "no: not sent")


@probe(TOOLS)
def server_tools(bench: Bench) -> str:
    """The upstream router's own tools, such as its web search, beside a function."""
    model = bench.model()
    try:
        with watched():
            bound, how = model.bind_tools([OWN, look]), YES
    except FailedError:
        bound, how = model.bind(tools=[OWN, convert_to_openai_tool(look)]), "yes, with `bind(tools=...)`"
    bench.script(reply({"content": "Hm."}))
    bench.ask(bound)
    there = [item.get("type") for item in bench.sent.get("tools", [])] == [OWN["type"], "function"]
    return how if there and OWN in bench.sent["tools"] else "no: sent otherwise"


def _structured(bench: Bench, method: str, *replies: Reply) -> Any:
    bench.script(*replies)
    model = bench.model()
    with watched():
        runnable = model.with_structured_output(Joke, method=method)
    return bench.ask(runnable, "A joke.")


def _filled(method: str, text: str, finish: str = "stop") -> Reply:
    if method == "function_calling":
        return reply(call("Joke", text, index=0, id="a"), finish=finish if finish != "stop" else "tool_calls")
    return reply({"content": text}, finish=finish)


def _judge_structured(bench: Bench, method: str, form: str | None) -> str:
    joke = _structured(bench, method, _filled(method, json.dumps(JOKE)))
    sent = (bench.sent.get("response_format") or {}).get("type")
    if sent != form:
        return f"no: sent {sent or 'no response_format'}"
    return kept(joke == Joke(**JOKE))


@probe(STRUCTURED)
def by_tools(bench: Bench) -> str:
    """By tools."""
    return _judge_structured(bench, "function_calling", None)


@probe(STRUCTURED)
def by_schema(bench: Bench) -> str:
    """By JSON schema."""
    return _judge_structured(bench, "json_schema", "json_schema")


@probe(STRUCTURED)
def by_json_mode(bench: Bench) -> str:
    """By JSON mode."""
    plainly = _judge_structured(bench, "json_mode", "json_object")
    if plainly == YES:
        return YES
    bench.script(_filled("json_mode", json.dumps(JOKE)))
    answer = bench.ask(bench.model().bind(response_format={"type": "json_object"}))
    there = bench.sent.get("response_format") == {"type": "json_object"} and json.loads(answer.text) == JOKE
    return "yes, with `bind(response_format=...)`" if there else plainly


@probe(STRUCTURED)
def fenced_by_schema(bench: Bench) -> str:
    """JSON in a code fence is read (JSON schema)."""
    return _judge_fence(bench, "json_schema")


@probe(STRUCTURED)
def fenced_by_json_mode(bench: Bench) -> str:
    """JSON in a code fence is read (JSON mode)."""
    return _judge_fence(bench, "json_mode")


def _judge_fence(bench: Bench, method: str) -> str:
    fence = f"```json\n{json.dumps(JOKE)}\n```"
    return kept(_structured(bench, method, _filled(method, fence)) == Joke(**JOKE))


@probe(STRUCTURED)
def cut_by_schema(bench: Bench) -> str:
    """An answer cut at its token limit: the error says so (JSON schema)."""
    return _judge_cut(bench, "json_schema")


@probe(STRUCTURED)
def cut_by_tools(bench: Bench) -> str:
    """An answer cut at its token limit: the error says so (tools)."""
    return _judge_cut(bench, "function_calling")


def _judge_cut(bench: Bench, method: str) -> str:
    try:
        found = _structured(bench, method, _filled(method, '{"setup": "Why did the', finish="length"))
    except FailedError as failed:
        told = f"{type(failed.error).__name__} {failed.error}"
        return kept(re.search(r"(?i)length limit|truncated|was cut|max_tokens", told), f"no: {_name(failed)}")
    return "no: nothing, no error" if found is None else "no: half an answer, no error"


@probe(STRUCTURED)
def refused(bench: Bench) -> str:
    """An answer that the model refused: the error has its words."""
    words = "I will not tell that."
    refusal = Reply.chunks([chunk({"content": None, "refusal": words}), chunk({}, "stop")])
    try:
        found = _structured(bench, "json_schema", refusal)
    except FailedError as failed:
        return kept(words in str(failed.error), f"no: {_name(failed)} without them")
    return "no: nothing, no error" if found is None else "no: an answer, no error"


def _name(failed: FailedError) -> str:
    return type(failed.error).__name__
