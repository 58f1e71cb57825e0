"""Probes of structured output: how an object is asked for, and how it is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llama_index.core import Document, SummaryIndex
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from benchmarks.li.bench import CHAT, QUERY, entry, probe
from benchmarks.probing import MODEL, YES, FailedError, kept, raised, watched
from benchmarks.replies import call, chunk, reply, say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

GROUP = "Structured output"
WAYS = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")
STREAMS = WAYS[2:]
PROMPT = PromptTemplate("Tell me about {place}.")
LISBON = {"name": "Lisbon", "people": 500000}
TEXT = json.dumps(LISBON)
FENCED = f"Here it is:\n```json\n{TEXT}\n```"
SCHEMA: dict[str, Any] = {"should_use_structured_outputs": True}
NO_TOOLS: dict[str, Any] = {"is_function_calling_model": False}
REFUSAL = "I must not tell that."


class City(BaseModel):
    """A city."""

    name: str
    people: int


def _predict(bench: Bench, model: Any, **more: Any) -> list[Any]:
    return bench.do(model, bench.way, City, PROMPT, place="Lisbon", **more)


def _judge(bench: Bench, answer: Reply, **settings: Any) -> str:
    bench.script(answer)
    found = _predict(bench, bench.model(**settings))
    return _is_lisbon(found[-1] if found else None)


def _is_lisbon(found: Any) -> str:
    told = found.model_dump() if isinstance(found, BaseModel) else found
    return kept(told == LISBON, "no: nothing" if found is None else "no: another object")


def _call(arguments: str = TEXT, finish: str = "tool_calls") -> Reply:
    return reply(call("City", arguments, index=0, id="a"), finish=finish)


@probe(GROUP, ways=WAYS)
def by_tools(bench: Bench) -> str:
    """By a tool call."""
    return _judge(bench, _call())


@probe(GROUP, ways=WAYS)
def call_required(bench: Bench) -> str:
    """The tool call is required."""
    _judge(bench, _call())
    return kept(bench.sent.get("tool_choice") == "required", f"no: {bench.sent.get('tool_choice')}")


@probe(GROUP, ways=WAYS)
def by_schema(bench: Bench) -> str:
    """By JSON schema, with `should_use_structured_outputs`."""
    found = _judge(bench, say(TEXT), **SCHEMA)
    if "response_format" not in bench.sent:
        return "no: no schema sent"
    return found


@probe(GROUP, ways=WAYS)
def fenced(bench: Bench) -> str:
    """JSON in a code fence is read (JSON schema)."""
    return _judge(bench, say(FENCED), **SCHEMA)


@probe(GROUP, ways=WAYS)
def text_for_call(bench: Bench) -> str:
    """JSON in a text is read, although a tool call was asked for."""
    return _judge(bench, say(FENCED))


@probe(GROUP, ways=WAYS)
def line_breaks(bench: Bench) -> str:
    """Line breaks that stand in strings as they are."""
    bench.script(_call('{"name": "Lis\nbon", "people": 1}'))
    found = _predict(bench, bench.model())[-1]
    return kept(getattr(found, "name", "") == "Lis\nbon")


@probe(GROUP, ways=WAYS)
def without_tools(bench: Bench) -> str:
    """From a model without tools: no choice of tool is sent, and the object is read."""
    found = _judge(bench, say(FENCED), **NO_TOOLS)
    return found if bench.sent.get("tool_choice") is None else f"no: sent tool_choice {bench.sent['tool_choice']}"


@probe(GROUP, ways=WAYS)
def object_untold(bench: Bench) -> str:
    """From a model without tools, without being told that it has none."""
    bench.list_models(entry("no/tools", 32_000))
    bench.script(say(TEXT))
    found = _predict(bench, bench.model("no/tools"))[-1]
    sent = [name for name in ("tools", "tool_choice") if bench.sent.get(name)]
    return f"no: sent {' and '.join(sent)}" if sent else _is_lisbon(found)


@probe(GROUP, ways=WAYS)
def object_by_the_catalog(bench: Bench) -> str:
    """By JSON schema where the model has no tools but takes a schema, without being told."""
    bench.list_models(entry("no/tools-schema", 32_000, "response_format", "structured_outputs"))
    bench.script(say(TEXT))
    found = _predict(bench, bench.model("no/tools-schema"))[-1]
    if bench.sent.get("tools") or bench.sent.get("tool_choice") or "response_format" not in bench.sent:
        return "no: not asked by schema"
    return _is_lisbon(found)


@probe(GROUP, ways=STREAMS)
def grows(bench: Bench) -> str:
    """The object grows while it streams."""
    pieces = [call(arguments=TEXT[place : place + 4], index=0) for place in range(0, len(TEXT), 4)]
    bench.script(reply(call("City", "", index=0, id="a"), *pieces, finish="tool_calls", split="event"))
    found = _predict(bench, bench.model())
    states = {str(one) for one in found}
    return _is_lisbon(found[-1] if found else None) if len(states) > 2 else "no: whole at once"  # noqa: PLR2004 - more than empty and whole


def _judge_failure(bench: Bench, answer: Reply, *words: str, **settings: Any) -> str:
    bench.script(answer)
    model = bench.model(**settings)
    try:
        _predict(bench, model)
    except FailedError as failed:
        verdicts = [raised(failed.error, text=word, silent="an answer") for word in words]
        return YES if YES in verdicts else verdicts[0]
    return "no: half an object, no error"


@probe(GROUP, ways=WAYS)
def cut(bench: Bench) -> str:
    """An answer cut at its token limit: the error says so (tools)."""
    return _judge_failure(bench, _call('{"name": "Lis', "length"), "max_tokens", "length limit")


@probe(GROUP, ways=WAYS)
def refused(bench: Bench) -> str:
    """An answer that the model refused: the error has its words."""
    if "stream" in bench.way:
        answer = Reply.chunks([chunk({"refusal": REFUSAL}), chunk({}, "stop")])
    else:
        answer = Reply.text(None, refusal=REFUSAL)
    return _judge_failure(bench, answer, REFUSAL, **SCHEMA)


@probe(GROUP, ways=WAYS)
def misfit(bench: Bench) -> str:
    """An object that does not fit: the error names the field."""
    return _judge_failure(bench, _call('{"name": "Lisbon", "people": "many"}'), "people")


@probe(GROUP, ways=CHAT)
def structured_llm(bench: Bench) -> str:
    """`as_structured_llm`."""
    return _judge_structured_llm(bench, _call())


@probe(GROUP, ways=CHAT)
def structured_llm_without_tools(bench: Bench) -> str:
    """`as_structured_llm` over a model without tools."""
    found = _judge_structured_llm(bench, say(FENCED), **NO_TOOLS)
    return found if bench.sent.get("tool_choice") is None else f"no: sent tool_choice {bench.sent['tool_choice']}"


def _judge_structured_llm(bench: Bench, answer: Reply, **settings: Any) -> str:
    bench.script(answer)
    model = bench.model(**settings)
    with watched():
        structured = model.as_structured_llm(City)
    found = bench.responses(structured)
    return _is_lisbon(found[-1].raw if found else None)


@probe(GROUP, ways=QUERY)
def engine(bench: Bench) -> str:
    """A query engine's `output_cls`."""
    return _judge_engine(bench, _call(), bench.model())


@probe(GROUP, ways=QUERY)
def engine_without_tools(bench: Bench) -> str:
    """A query engine's `output_cls` over a model without tools."""
    found = _judge_engine(bench, say(FENCED), bench.model(**NO_TOOLS))
    return found if bench.sent.get("tool_choice") is None else f"no: sent tool_choice {bench.sent['tool_choice']}"


def _judge_engine(bench: Bench, answer: Reply, model: Any) -> str:
    bench.script(answer)
    index = SummaryIndex.from_documents([Document(text="Lisbon has 500,000 people.")])
    response = bench.query(lambda: index.as_query_engine(llm=model, output_cls=City))
    return _is_lisbon(getattr(response, "response", None))


@probe(GROUP, ways=("structured_predict",))
def program(bench: Bench) -> str:
    """The framework's `FunctionCallingProgram`."""
    bench.script(_call())
    model = bench.model(MODEL)
    with watched():
        made = FunctionCallingProgram.from_defaults(output_cls=City, prompt_template_str="About {place}.", llm=model)
        found = made(place="Lisbon")
    return _is_lisbon(found)
