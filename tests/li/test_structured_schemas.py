"""Classes that hold themselves, are no object, are strict or have long names: sent as providers take them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, RootModel

from kilocode_gateway.errors import ConfigurationError, MalformedReplyError
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode

PROMPT = PromptTemplate("Go on.")


class Point(BaseModel):
    """A point."""

    x: int
    label: str | None = None


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list[Tree] = []


class Points(RootModel[list[Point]]):
    """Some points."""


class Line(BaseModel):
    """A line."""

    start: Point
    ends: list[Point] = []
    counts: dict[str, int] = {}


LONG: Any = type("N" * 80, (Point,), {"__doc__": None})
WAYS = ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"]


@pytest.fixture(params=WAYS)
def predict(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give each of the four ways; each gives the last object that comes."""
    method = request.param

    async def run(llm: KiloCode, output_cls: Any) -> Any:
        answer = getattr(llm, method)(output_cls, PROMPT)
        if method == "structured_predict":
            return answer
        if method == "stream_structured_predict":
            return list(answer)[-1]
        answer = await answer
        return answer if method == "astructured_predict" else [one async for one in answer][-1]

    return run


def sent(gateway: LocalGateway) -> tuple[str, dict[str, Any]]:
    """Give the name and the schema that went out."""
    body = gateway.chat_requests[-1].json
    if "tools" in body:
        return body["tools"][0]["function"]["name"], body["tools"][0]["function"]["parameters"]
    return body["response_format"]["json_schema"]["name"], body["response_format"]["json_schema"]["schema"]


def reply(data: Any, name: str | None = None) -> Reply:
    text = data if isinstance(data, str) else json.dumps(data)
    return Reply.text("", tool_calls=[{"id": "a", "name": name, "arguments": text}]) if name else Reply.text(text)


TREE = {"name": "oak", "children": [{"name": "twig", "children": []}]}
POINTS = [{"x": 1, "label": "a"}, {"x": 2, "label": None}]


@pytest.mark.parametrize("by_schema", [False, True])
async def test_a_class_that_holds_itself(predict: Any, make_llm: Any, gateway: LocalGateway, by_schema: bool) -> None:
    gateway.script(reply(TREE, None if by_schema else "Tree"))
    llm = make_llm(should_use_structured_outputs=by_schema)
    assert await predict(llm, Tree) == Tree.model_validate(TREE)
    name, schema = sent(gateway)
    assert (name, schema["type"], schema["required"]) == ("Tree", "object", ["name"])
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["required"] == ["name"]
    assert "$ref" not in schema


@pytest.mark.parametrize(("name", "came"), [("Points", {"value": POINTS}), (None, {"value": POINTS}), (None, POINTS)])
async def test_what_is_no_object_travels_in_one(
    predict: Any, make_llm: Any, gateway: LocalGateway, name: str | None, came: Any
) -> None:
    gateway.script(reply(came, name))
    found = await predict(make_llm(should_use_structured_outputs=name is None), Points)
    assert found == Points.model_validate(POINTS)
    called, schema = sent(gateway)
    assert (called, schema["type"], schema["required"]) == ("Points", "object", ["value"])
    assert schema["properties"]["value"]["type"] == "array"


async def test_the_local_gateway_fills_them_too(predict: Any, llm: KiloCode) -> None:
    assert isinstance(await predict(llm, Points), Points)
    assert isinstance(await predict(llm, Tree), Tree)


def test_what_is_no_object_grows(make_llm: Any, gateway: LocalGateway) -> None:
    text = json.dumps({"value": POINTS})
    cuts = [text[start : start + 8] for start in range(0, len(text), 8)]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": cut}}]} for cut in cuts]
    gateway.script(Reply.chunks([*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]))
    grown = list(make_llm(should_use_structured_outputs=True).stream_structured_predict(Points, PROMPT))
    assert len(grown) > 1
    assert all(isinstance(one, Points) for one in grown)
    assert grown[-1] == Points.model_validate(POINTS)


async def test_what_is_no_object_is_checked(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(reply({"value": [{"x": "one"}]}, "Points"))
    with pytest.raises(MalformedReplyError, match=r"Points: 0\.x: Input should be a valid integer"):
        await predict(llm, Points)


@pytest.mark.parametrize("by_schema", [False, True])
def test_strict_holds_inside_as_well(make_llm: Any, gateway: LocalGateway, by_schema: bool) -> None:
    gateway.script(reply({"start": {"x": 1, "label": None}, "ends": [], "counts": {}}, None if by_schema else "Line"))
    make_llm(strict=True, should_use_structured_outputs=by_schema).structured_predict(Line, PROMPT)
    schema = sent(gateway)[1]
    assert schema["required"] == ["start", "ends", "counts"]
    assert schema["$defs"]["Point"]["required"] == ["x", "label"]
    assert schema["additionalProperties"] is schema["$defs"]["Point"]["additionalProperties"] is False
    assert schema["properties"]["counts"]["additionalProperties"] == {"type": "integer"}
    assert '"default"' not in json.dumps(schema)


def test_strict_tools_are_strict_inside_as_well(llm: KiloCode, gateway: LocalGateway) -> None:
    tool = FunctionTool.from_defaults(lambda: "", name="draw", description="Draw.", fn_schema=Line)
    llm.chat_with_tools([tool], user_msg="Draw a line.", strict=True)
    function = gateway.chat_requests[-1].json["tools"][0]["function"]
    assert function["strict"] is True
    assert function["parameters"]["required"] == ["start", "ends", "counts"]
    point = function["parameters"]["$defs"]["Point"]
    assert (point["additionalProperties"], point["required"]) == (False, ["x", "label"])


async def test_long_names_are_cut(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(reply({"x": 1}, "N" * 64))
    assert await predict(llm, LONG) == LONG(x=1)
    assert sent(gateway)[0] == "N" * 64


@pytest.mark.parametrize("output_cls", [dict, Point(x=1), None, "Point"])
async def test_only_classes_can_be_asked_for(predict: Any, llm: KiloCode, output_cls: Any) -> None:
    with pytest.raises(ConfigurationError, match="BaseModel"):
        await predict(llm, output_cls)
