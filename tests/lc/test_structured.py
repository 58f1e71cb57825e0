"""Structured output: each way of asking, each form of schema, whole and streamed."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.runnables import AddableDict
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from kilocode_gateway import ConfigurationError, KiloCodeError
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode
from langchain_kilocode._structured import choose_method
from langchain_kilocode.errors import AnswerRefusedError, AnswerTruncatedError, StructuredOutputError


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str


class JokeDict(TypedDict):
    """A joke."""

    setup: str
    punchline: str


@dataclass
class JokeData:
    """A joke."""

    setup: str
    punchline: str


SCHEMA = {
    "title": "Joke",
    "description": "A joke.",
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
    "required": ["setup", "punchline"],
}
DATA = {"setup": "Why?", "punchline": "Because."}
TEXT = json.dumps(DATA)
METHODS = ["function_calling", "json_schema", "json_mode"]


def _call(arguments: str, name: str = "Joke") -> list[dict[str, Any]]:
    return [{"id": "a", "name": name, "arguments": arguments}]


def _reply(method: str, text: str = TEXT, name: str = "Joke", **fields: Any) -> Reply:
    return (
        Reply.text("", tool_calls=_call(text, name), **fields)
        if method == "function_calling"
        else Reply.text(text, **fields)
    )


def _slow_reply(method: str, text: str, name: str = "JokeDict") -> Reply:
    """Stream the answer in pieces of ten characters."""
    cuts = [text[start : start + 10] for start in range(0, len(text), 10)]
    if method == "function_calling":
        deltas: list[Any] = [{"tool_calls": [{"index": 0, "id": "a", "function": {"name": name, "arguments": ""}}]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": cut}}]} for cut in cuts]
    else:
        deltas = [{"content": cut} for cut in cuts]
    chunks = [{"id": "gen-1", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return Reply.chunks([*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}], split="event")


async def _run(ask: Any, runnable: Any) -> Any:
    """Ask in the given way; of a stream, the last piece is the whole."""
    if ask.__name__ == "_invoked":
        return runnable.invoke("A joke.")
    if ask.__name__ == "_ainvoked":
        return await runnable.ainvoke("A joke.")
    pieces = (
        list(runnable.stream("A joke."))
        if ask.__name__ == "_streamed"
        else [piece async for piece in runnable.astream("A joke.")]
    )
    return sum(pieces[1:], pieces[0]) if isinstance(pieces[0], AddableDict) else pieces[-1]


@pytest.mark.parametrize(
    "schema", [Joke, JokeDict, SCHEMA, JokeData], ids=["pydantic", "typeddict", "json schema", "dataclass"]
)
@pytest.mark.parametrize("method", METHODS)
async def test_each_way_and_schema(ask: Any, model: Any, gateway: Any, method: Any, schema: Any) -> None:
    gateway.script(_reply(method, name="Joke" if isinstance(schema, dict) else schema.__name__))
    assert await _run(ask, model.with_structured_output(schema, method=method)) == (
        schema(**DATA) if schema in (Joke, JokeData) else DATA
    )
    sent = gateway.last_request.json
    assert gateway.last_request.path.endswith("/chat/completions")
    if method == "function_calling":
        name = sent["tools"][0]["function"]["name"]
        assert sent["tool_choice"] == {"type": "function", "function": {"name": name}}
        assert "strict" not in sent["tools"][0]["function"]
        assert "parallel_tool_calls" not in sent
        assert "response_format" not in sent
    elif method == "json_schema":
        form = sent["response_format"]["json_schema"]
        assert set(form) == {"name", "description", "schema"}
        assert form["description"] == "A joke."
        assert sorted(form["schema"]["required"]) == ["punchline", "setup"]
        assert form["schema"]["properties"].keys() == DATA.keys()
        assert "tools" not in sent
    else:
        assert sent["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("method", METHODS)
async def test_include_raw(ask: Any, model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_reply(method))
    result = await _run(ask, model.with_structured_output(Joke, method=method, include_raw=True))
    assert result["parsed"] == Joke(**DATA)
    assert result["parsing_error"] is None
    assert result["raw"].response_metadata["model_provider"] == "kilocode"


FENCED = [
    f"```json\n{TEXT}\n```",
    f"```\n{TEXT}\n```",
    f"Here you are:\n```json\n{TEXT}\n```\nI hope that {{you}} laugh.",
    f"Here you are: {TEXT} That is all.",
    json.dumps(DATA, indent=2),
]


@pytest.mark.parametrize("schema", [Joke, JokeDict], ids=["pydantic", "typeddict"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", FENCED, ids=["fence", "bare fence", "fence in prose", "prose", "lines"])
async def test_json_in_fences_and_prose_is_accepted(
    ask: Any, model: Any, gateway: Any, method: Any, text: str, *, schema: Any
) -> None:
    gateway.script(Reply.text(text))
    expected = Joke(**DATA) if schema is Joke else DATA
    assert await _run(ask, model.with_structured_output(schema, method=method)) == expected


def _refused(ask: Any) -> Reply:
    said = {"refusal": "I will not."}
    choice = {"index": 0, "finish_reason": "stop"}
    part = {"delta": said} if "stream" in ask.__name__ else {"message": {"role": "assistant", "content": None, **said}}
    reply = {"id": "gen-1", "model": "m", "choices": [{**choice, **part}]}
    return Reply.chunks([reply]) if "stream" in ask.__name__ else Reply.raw(200, reply)


CUT = '{"setup": "Why did'
TWO = f'{TEXT} {{"setup": "a"}}'
# What comes -> the reply, the error's type, its text.
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "a field is missing": (lambda _, way: _reply(way, '{"setup": "Why?"}'), StructuredOutputError, '{"setup": "Why?"}'),
    "no object": (lambda _, way: _reply(way, "[1]"), StructuredOutputError, "[1]"),
    "no JSON": (lambda *_: Reply.text("A joke? No."), StructuredOutputError, "A joke? No."),
    "nothing": (lambda *_: Reply.text(""), StructuredOutputError, ""),
    "two answers": (lambda *_: Reply.text(TWO), StructuredOutputError, TWO),
    "cut at the limit": (lambda _, way: _reply(way, CUT, finish_reason="length"), AnswerTruncatedError, CUT),
    "cut without a word": (lambda _, way: _reply(way, CUT), StructuredOutputError, CUT),
    "refused": (lambda ask, _: _refused(ask), AnswerRefusedError, "I will not."),
    "filtered": (lambda *_: Reply.text("A j", finish_reason="content_filter"), AnswerRefusedError, "A j"),
}


@pytest.mark.parametrize("schema", [Joke, JokeDict], ids=["pydantic", "typeddict"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_answer_is_a_typed_error_with_its_text(
    ask: Any, model: Any, gateway: Any, wrong: str, method: Any, *, schema: Any
) -> None:
    reply, kind, text = WRONG[wrong]
    gateway.script(reply(ask, method), reply(ask, method))
    with pytest.raises(StructuredOutputError) as caught:
        await _run(ask, model.with_structured_output(schema, method=method))
    result = await _run(ask, model.with_structured_output(schema, method=method, include_raw=True))
    for error in (caught.value, result["parsing_error"]):
        assert type(error) is kind
        assert error.text == error.llm_output == text
        assert isinstance(error, KiloCodeError)
        assert isinstance(error, OutputParserException)
        assert pickle.loads(pickle.dumps(error)).text == text
        assert kind is AnswerRefusedError or schema.__name__ in str(error)
        assert kind is not AnswerTruncatedError or "max_tokens" in str(error)
        assert "pydantic.dev" not in str(error)
    assert result["parsed"] is None
    assert result["raw"].response_metadata["model_provider"] == "kilocode"


class Line(BaseModel):
    """A line."""

    words: list[str]
    kind: Literal["said", "sung"] = "said"


class Scene(BaseModel):
    """A scene."""

    title: str = Field(description="Its title")
    first: Line | None = None
    others: list[Line] = []


def test_a_misfit_names_its_fields_readably(model: Any, gateway: Any) -> None:
    data = {"title": "A secret title", "first": {"words": "x"}, "others": [{"words": [], "kind": "shouted"}]}
    gateway.script(Reply.text("", tool_calls=[{"name": "Scene", "arguments": data}]))
    with pytest.raises(StructuredOutputError) as caught:
        model.with_structured_output(Scene, method="function_calling").invoke("A scene.")
    assert str(caught.value).startswith(
        "The answer does not fit Scene: first.words: Input should be a valid list; "
        "others.0.kind: Input should be 'said' or 'sung'. "
    )
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", [None, {"words": ["a"], "kind": "sung"}])
async def test_optional_nested_schemas(ask: Any, model: Any, gateway: Any, method: Any, first: Any) -> None:
    data = {"title": "T", "first": first, "others": [{"words": [], "kind": "said"}]}
    gateway.script(_reply(method, json.dumps(data), name="Scene"))
    assert await _run(ask, model.with_structured_output(Scene, method=method)) == Scene.model_validate(data)
    if method != "json_mode":
        # The local gateway fills the schema that arrives by rule.
        assert isinstance(await _run(ask, model.with_structured_output(Scene, method=method)), Scene)


NUMBERS = {"name": "Numbers", "schema": {"type": "array", "items": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "method", "text"),
    [
        ({**SCHEMA, "required": ["punchline"]}, "json_schema", '{"punchline": "Because."}'),
        (NUMBERS, "json_schema", "[1, 2]"),
        (None, "json_mode", "[1, 2]"),
    ],
)
def test_what_the_schema_allows_is_accepted(model: Any, gateway: Any, schema: Any, method: Any, text: str) -> None:
    gateway.script(Reply.text(text))
    assert model.with_structured_output(schema, method=method).invoke("A joke.") == json.loads(text)


@dataclass
class Act:
    scenes: list[JokeData] = field(default_factory=list)
    title: str = field(default="", metadata={"description": "Its title"})


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_nested_dataclasses(model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_reply(method, json.dumps({"scenes": [DATA]}), name="Act"))
    assert model.with_structured_output(Act, method=method).invoke("An act.") == Act([JokeData(**DATA)])
    sent = gateway.last_request.json
    named = sent["tools"][0]["function"] if method == "function_calling" else sent["response_format"]["json_schema"]
    assert "description" not in named
    schema = named["parameters" if method == "function_calling" else "schema"]
    assert schema["properties"]["title"]["description"] == "Its title"
    assert "$" not in json.dumps(schema)


@pytest.mark.parametrize("method", METHODS)
def test_what_should_be_an_object_is_nothing_else(model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_slow_reply(method, '["Why did the cat", "sit on the keyboard?"]', name="Joke"))
    pieces = []
    with pytest.raises(StructuredOutputError, match=r"Joke.*JSON object"):
        pieces.extend(model.with_structured_output({**SCHEMA, "required": []}, method=method).stream("A joke."))
    assert pieces in ([], [{}])


Part = TypeVar("Part")


class Box(BaseModel, Generic[Part]):
    """A box."""

    inside: Part


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_names_that_upstreams_refuse_are_mended(model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_reply(method, '{"inside": 3}', name="Box_int_"))
    assert model.with_structured_output(Box[int], method=method).invoke("A box.").inside == 3
    sent = gateway.last_request.json
    named = sent["tools"][0]["function"] if method == "function_calling" else sent["response_format"]["json_schema"]
    assert named["name"] == "Box_int_"


def test_a_call_under_another_name_is_read(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("", tool_calls=[{"name": "joke", "arguments": TEXT}]))
    assert model.with_structured_output(Joke, method="function_calling").invoke("A joke.") == Joke(**DATA)


class Defaults(BaseModel):
    """A schema that any object fits."""

    setup: str = "none"


@pytest.mark.parametrize("method", METHODS)
async def test_what_was_written_for_another_tool_is_no_answer(ask: Any, model: Any, gateway: Any, method: Any) -> None:
    gateway.script(Reply.text("", tool_calls=[{"name": "other", "arguments": '{"zzz": 1}'}]))
    with pytest.raises(StructuredOutputError, match="called 'other' instead"):
        await _run(ask, model.with_structured_output(Defaults, method=method))


def test_tools_that_would_be_dropped_are_refused(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="json_schema"):
        model.with_structured_output(Joke, method="function_calling", tools=[{"type": "openrouter:web_search"}])


LONG = {
    "setup": "Why did the cat sit on the keyboard of the computer?",
    "punchline": "To keep an eye on the mouse.",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("before", ["", "Here you are:\n```json\n"])
def test_streamed_dicts_grow(model: Any, gateway: Any, method: Any, before: str) -> None:
    gateway.script(_slow_reply(method, (before if method != "function_calling" else "") + json.dumps(LONG)))
    pieces = list(model.with_structured_output(JokeDict, method=method).stream("A joke."))
    assert pieces[-1] == LONG
    assert len(pieces) > 2
    assert pieces[0] != LONG


@pytest.mark.parametrize("method", METHODS)
def test_streamed_objects_grow_as_far_as_they_are_valid(model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_slow_reply(method, json.dumps(LONG), name="Joke"))
    pieces = list(model.with_structured_output(Joke, method=method).stream("A joke."))
    assert pieces[-1] == Joke(**LONG)
    assert len(pieces) > 1
    assert all(isinstance(piece, Joke) and LONG["punchline"].startswith(piece.punchline) for piece in pieces)


@pytest.mark.parametrize("schema", [Joke, JokeDict], ids=["pydantic", "typeddict"])
@pytest.mark.parametrize("method", METHODS)
async def test_the_raw_message_streams(ask_streamed: Any, model: Any, gateway: Any, method: Any, schema: Any) -> None:
    gateway.script(_slow_reply(method, json.dumps(LONG), name=schema.__name__))
    runnable = model.with_structured_output(schema, method=method, include_raw=True)
    if ask_streamed.__name__ == "_streamed":
        pieces = list(runnable.stream("A joke."))
    else:
        pieces = [piece async for piece in runnable.astream("A joke.")]
    raw = [piece["raw"] for piece in pieces if "raw" in piece]
    assert len(raw) > 5
    assert pieces[-1] == {"parsed": Joke(**LONG) if schema is Joke else LONG, "parsing_error": None}
    assert sum(raw[1:], raw[0]).response_metadata["finish_reason"] == "stop"


def test_strict_only_where_asked(model: Any, gateway: Any) -> None:
    gateway.script(_reply("function_calling"), _reply("json_schema"))
    model.with_structured_output(Joke, method="function_calling", strict=True).invoke("A joke.")
    assert gateway.last_request.json["tools"][0]["function"]["strict"] is True
    model.with_structured_output(Joke, method="json_schema", strict=True).invoke("A joke.")
    assert gateway.last_request.json["response_format"]["json_schema"]["strict"] is True


def test_ready_made_forms(model: Any, gateway: Any) -> None:
    ready = {"name": "Joke", "schema": SCHEMA, "strict": True}
    for schema in (ready, {"type": "json_schema", "json_schema": ready}):
        gateway.script(Reply.text(TEXT), Reply.text("", tool_calls=_call(TEXT)))
        assert model.with_structured_output(schema, method="json_schema").invoke("A joke.") == DATA
        assert gateway.last_request.json["response_format"] == {"type": "json_schema", "json_schema": ready}
        assert model.with_structured_output(schema, method="function_calling").invoke("A joke.") == DATA
    model.bind(response_format=Joke).invoke("A joke.")
    assert gateway.last_request.json["response_format"]["json_schema"]["name"] == "Joke"


def test_tools_beside_the_schema(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text(TEXT))
    assert model.with_structured_output(Joke, tools=[{"type": "openrouter:web_search"}]).invoke("A joke.") == Joke(
        **DATA
    )
    assert gateway.last_request.json["tools"] == [{"type": "openrouter:web_search"}]
    assert gateway.last_request.json["response_format"]["type"] == "json_schema"


class _Info:
    def __init__(self, *parameters: str) -> None:
        self.supported_parameters = parameters


@pytest.mark.parametrize(
    ("parameters", "method"),
    [
        (None, "function_calling"),
        ((), "function_calling"),
        (("tools", "structured_outputs"), "function_calling"),
        (("structured_outputs", "response_format"), "json_schema"),
        (("response_format",), "json_mode"),
        (("temperature",), "function_calling"),
    ],
)
def test_default_way_follows_the_catalog(parameters: Any, method: str) -> None:
    assert choose_method(None if parameters is None else _Info(*parameters)) == method  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schema", "method"),
    [(None, "json_schema"), (Joke, "magic"), (3, "function_calling"), ({"type": "object"}, "json_schema")],
)
def test_useless_schema_or_method_is_refused(schema: Any, method: Any) -> None:
    with pytest.raises(ConfigurationError):
        ChatKiloCode().with_structured_output(schema, method=method)


def test_another_tool_may_be_called_first(model: Any, gateway: Any) -> None:
    search = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}
    gateway.script(Reply.text("", tool_calls=[{"id": "s", "name": "search", "arguments": TEXT}]))
    result = model.with_structured_output(JokeDict, tools=[search], include_raw=True).invoke("A joke.")
    assert (result["parsed"], result["parsing_error"]) == (None, None)
    assert result["raw"].tool_calls[0]["name"] == "search"
