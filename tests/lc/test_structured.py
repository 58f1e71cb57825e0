"""Structured output: each way of asking, each form of schema, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.runnables import AddableDict
from pydantic import BaseModel
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


def _call(arguments: str) -> list[dict[str, Any]]:
    return [{"id": "a", "name": "Joke", "arguments": arguments}]


def _reply(method: str, text: str = TEXT, **fields: Any) -> Reply:
    return (
        Reply.text("", tool_calls=_call(text), **fields) if method == "function_calling" else Reply.text(text, **fields)
    )


def _slow_reply(method: str, text: str) -> Reply:
    """Stream the answer in pieces of ten characters."""
    cuts = [text[start : start + 10] for start in range(0, len(text), 10)]
    if method == "function_calling":
        deltas: list[Any] = [
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "JokeDict", "arguments": ""}}]}
        ]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": cut}}]} for cut in cuts]
    else:
        deltas = [{"content": cut} for cut in cuts]
    chunks = [{"id": "gen-1", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return Reply.chunks([*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}])


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


@pytest.mark.parametrize("schema", [Joke, JokeDict, SCHEMA], ids=["pydantic", "typeddict", "json schema"])
@pytest.mark.parametrize("method", METHODS)
async def test_each_way_and_schema(ask: Any, model: Any, gateway: Any, method: Any, schema: Any) -> None:
    gateway.script(_reply(method))
    assert await _run(ask, model.with_structured_output(schema, method=method)) == (
        Joke(**DATA) if schema is Joke else DATA
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


@pytest.mark.parametrize("method", METHODS)
def test_include_raw_keeps_the_error(model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_reply(method, '{"setup": "Why?"}'))
    result = model.with_structured_output(Joke, method=method, include_raw=True).invoke("A joke.")
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], StructuredOutputError)
    assert result["raw"] is not None


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
@pytest.mark.parametrize("text", [f"```json\n{TEXT}\n```", f"```\n{TEXT}\n```", f"Here you are:\n```json\n{TEXT}\n```"])
async def test_code_fence_is_accepted(ask: Any, model: Any, gateway: Any, method: Any, text: str) -> None:
    gateway.script(Reply.text(text))
    assert await _run(ask, model.with_structured_output(Joke, method=method)) == Joke(**DATA)


@pytest.mark.parametrize("method", METHODS)
async def test_streamed_dicts_grow(model: Any, gateway: Any, method: Any) -> None:
    data = {
        "setup": "Why did the cat sit on the keyboard of the computer?",
        "punchline": "To keep an eye on the mouse.",
    }
    gateway.script(_slow_reply(method, json.dumps(data)))
    pieces = list(model.with_structured_output(JokeDict, method=method).stream("A joke."))
    assert pieces[-1] == data
    assert len(pieces) > 2
    assert pieces[0] != data


@pytest.mark.parametrize("method", METHODS)
async def test_answer_cut_at_its_limit(ask: Any, model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_reply(method, '{"setup": "Why did', finish_reason="length"))
    with pytest.raises(AnswerTruncatedError, match="max_tokens") as caught:
        await _run(ask, model.with_structured_output(Joke, method=method))
    assert "Why did" in caught.value.text
    assert isinstance(caught.value, (KiloCodeError, OutputParserException))
    assert caught.value.llm_output == caught.value.text


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
async def test_refusal(ask: Any, model: Any, gateway: Any, method: Any) -> None:
    head = {"id": "gen-1", "model": "m"}
    if "stream" in ask.__name__:
        gateway.script(
            Reply.chunks(
                [{**head, "choices": [{"index": 0, "delta": {"refusal": "I will not."}, "finish_reason": "stop"}]}]
            )
        )
    else:
        message = {"role": "assistant", "content": None, "refusal": "I will not."}
        gateway.script(Reply.raw(200, {**head, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}))
    with pytest.raises(AnswerRefusedError, match="I will not") as caught:
        await _run(ask, model.with_structured_output(Joke, method=method))
    assert caught.value.text == "I will not."


@pytest.mark.parametrize(
    ("method", "text"), [("json_mode", '{"setup": 1}'), ("json_schema", "A joke? No."), ("function_calling", "No.")]
)
async def test_answer_that_does_not_fill_the_schema(ask: Any, model: Any, gateway: Any, method: Any, text: str) -> None:
    gateway.script(Reply.text(text))
    with pytest.raises(StructuredOutputError) as caught:
        await _run(ask, model.with_structured_output(Joke, method=method))
    assert caught.value.text == text


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
