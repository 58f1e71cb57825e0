"""Schemas that hold themselves, are no object, are strict or have long names: sent as providers take them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.runnables import AddableDict
from pydantic import BaseModel, RootModel
from typing_extensions import TypedDict

from kilocode_gateway import ConfigurationError
from kilocode_gateway.local import Reply
from langchain_kilocode.errors import StructuredOutputError


class Point(BaseModel):
    """A point."""

    x: int
    label: str | None = None


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list[Tree] = []


@dataclass
class Branch:
    """A branch."""

    name: str
    branches: list[Branch] = field(default_factory=list)


class Endless(TypedDict):
    """What LangChain cannot read."""

    inner: list[Endless]


class Points(RootModel[list[Point]]):
    """Some points."""


class Line(BaseModel):
    """A line."""

    start: Point
    ends: list[Point] = []
    counts: dict[str, int] = {}


LONG: Any = type("N" * 80, (Point,), {"__doc__": None})
METHODS = ["function_calling", "json_schema"]


async def _run(ask: Any, runnable: Any) -> Any:
    if ask.__name__ == "_invoked":
        return runnable.invoke("Go on.")
    if ask.__name__ == "_ainvoked":
        return await runnable.ainvoke("Go on.")
    pieces = (
        list(runnable.stream("Go on."))
        if ask.__name__ == "_streamed"
        else [piece async for piece in runnable.astream("Go on.")]
    )
    return sum(pieces[1:], pieces[0]) if isinstance(pieces[0], AddableDict) else pieces[-1]


def _sent(gateway: Any) -> tuple[str, dict[str, Any]]:
    """Give the name and the schema that went out."""
    body = gateway.last_request.json
    if "tools" in body:
        return body["tools"][0]["function"]["name"], body["tools"][0]["function"]["parameters"]
    return body["response_format"]["json_schema"]["name"], body["response_format"]["json_schema"]["schema"]


def _reply(method: str, data: Any, name: str) -> Reply:
    text = json.dumps(data)
    if method == "function_calling":
        return Reply.text("", tool_calls=[{"id": "a", "name": name, "arguments": text}])
    return Reply.text(text)


TREE = {"name": "oak", "children": [{"name": "twig", "children": []}]}


@pytest.mark.parametrize("schema", [Tree, Tree.model_json_schema()], ids=["class", "json schema"])
@pytest.mark.parametrize("method", METHODS)
async def test_a_class_that_holds_itself(ask: Any, model: Any, gateway: Any, method: Any, schema: Any) -> None:
    gateway.script(_reply(method, TREE, "Tree"))
    found = await _run(ask, model.with_structured_output(schema, method=method))
    assert found == (TREE if isinstance(schema, dict) else Tree(**TREE))
    name, sent = _sent(gateway)
    assert (name, sent["type"], sent["required"]) == ("Tree", "object", ["name"])
    assert sent["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert sent["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


def test_a_dataclass_that_holds_itself(model: Any, gateway: Any) -> None:
    gateway.script(_reply("json_schema", {"name": "a", "branches": [{"name": "b"}]}, ""))
    found = model.with_structured_output(Branch, method="json_schema").invoke("Go on.")
    assert found == Branch("a", [Branch("b")])
    assert _sent(gateway)[1]["properties"]["branches"]["items"] == {"$ref": "#/$defs/Branch"}


def test_a_typeddict_that_holds_itself_is_refused_in_words(model: Any) -> None:
    with pytest.raises(ConfigurationError, match="Pydantic class"):
        model.with_structured_output(Endless)


POINTS = [{"x": 1, "label": "a"}, {"x": 2, "label": None}]


@pytest.mark.parametrize("schema", [Points, Points.model_json_schema()], ids=["class", "json schema"])
@pytest.mark.parametrize(
    "way",
    [("function_calling", {"value": POINTS}), ("json_schema", {"value": POINTS}), ("json_schema", POINTS)],
)
async def test_what_is_no_object_travels_in_one(ask: Any, model: Any, gateway: Any, schema: Any, way: Any) -> None:
    method, came = way
    gateway.script(_reply(method, came, "Points"))
    found = await _run(ask, model.with_structured_output(schema, method=method))
    assert found == (POINTS if isinstance(schema, dict) else Points.model_validate(POINTS))
    name, sent = _sent(gateway)
    assert (name, sent["type"], sent["required"]) == ("Points", "object", ["value"])
    assert sent["properties"]["value"]["type"] == "array"


def test_what_is_no_object_grows(model: Any, gateway: Any) -> None:
    text = json.dumps({"value": POINTS})
    cuts = [text[start : start + 8] for start in range(0, len(text), 8)]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": cut}}]} for cut in cuts]
    gateway.script(Reply.chunks([*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]))
    grown = list(model.with_structured_output(Points.model_json_schema(), method="json_schema").stream("Go on."))
    assert len(grown) > 3
    assert all(isinstance(one, list) for one in grown)
    assert grown[-1] == POINTS


def test_what_is_no_object_is_checked(model: Any, gateway: Any) -> None:
    gateway.script(_reply("json_schema", {"value": [{"x": "one"}]}, ""))
    with pytest.raises(StructuredOutputError, match=r"Points: 0\.x: Input should be a valid integer"):
        model.with_structured_output(Points, method="json_schema").invoke("Go on.")


@pytest.mark.parametrize("schema", [Line, Line.model_json_schema()], ids=["class", "json schema"])
@pytest.mark.parametrize("method", METHODS)
def test_strict_holds_inside_as_well(model: Any, gateway: Any, method: Any, schema: Any) -> None:
    gateway.script(_reply(method, {"start": {"x": 1, "label": None}, "ends": [], "counts": {}}, "Line"))
    model.with_structured_output(schema, method=method, strict=True).invoke("Go on.")
    sent = _sent(gateway)[1]
    inner = sent["$defs"]["Point"] if "$defs" in sent else sent["properties"]["start"]
    assert sent["required"] == ["start", "ends", "counts"]
    assert inner["required"] == ["x", "label"]
    assert sent["additionalProperties"] is inner["additionalProperties"] is False
    # No strict form of free keys exists: an object that may have none would always come back empty.
    assert sent["properties"]["counts"]["additionalProperties"] == {"type": "integer"}
    assert '"default"' not in json.dumps(sent)


@pytest.mark.parametrize("schema", [{"name": "ask", "description": "No fields."}, {"title": "Free", "type": "object"}])
def test_strict_needs_no_fields(model: Any, gateway: Any, schema: Any) -> None:
    gateway.script(_reply("function_calling", {}, schema.get("name") or schema["title"]))
    assert model.with_structured_output(schema, method="function_calling", strict=True).invoke("Go on.") == {}
    assert _sent(gateway)[1]["required"] == []


def test_a_schema_and_a_call_that_differ_on_strict_are_refused(model: Any) -> None:
    schema = {"name": "ask", "strict": False, "parameters": {"type": "object", "properties": {}}}
    with pytest.raises(ConfigurationError, match="strict"):
        model.with_structured_output(schema, strict=True)


@pytest.mark.parametrize("method", METHODS)
def test_long_names_are_cut(model: Any, gateway: Any, method: Any) -> None:
    gateway.script(_reply(method, {"x": 1}, "N" * 64))
    assert model.with_structured_output(LONG, method=method).invoke("Go on.") == LONG(x=1)
    assert _sent(gateway)[0] == "N" * 64


def test_a_ready_made_tool_stays_as_it_was_given(model: Any) -> None:
    tool = {"type": "function", "function": {"name": "a.b", "parameters": {"type": "object", "properties": {}}}}
    model.with_structured_output(tool)
    assert tool["function"] == {"name": "a.b", "parameters": {"type": "object", "properties": {}}}


class Wish(BaseModel):
    """A wish that may be empty."""

    text: str = "none"


@pytest.mark.parametrize("arguments", ["", " ", "null"])
async def test_a_call_without_arguments_is_an_object_of_defaults(
    ask: Any, model: Any, gateway: Any, arguments: str
) -> None:
    gateway.script(Reply.text("", tool_calls=[{"id": "a", "name": "Wish", "arguments": arguments}]))
    assert await _run(ask, model.with_structured_output(Wish, method="function_calling")) == Wish()


async def test_thoughts_in_the_text_are_no_answer(ask: Any, model: Any, gateway: Any) -> None:
    gateway.script(Reply.text('<think>Is it {"text": "no"}?</think>\n{"text": "yes"}'))
    assert await _run(ask, model.with_structured_output(Wish, method="json_schema")) == Wish(text="yes")
