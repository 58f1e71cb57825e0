"""Schemas as providers take them, and the method by which an object is asked for."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kilocode_gateway.models import ModelInfo
from kilocode_gateway.wire.schemas import as_object, is_recursive, method_for, methods_of, strict, tool_name, unwrapped

NODE = {
    "title": "Tree",
    "description": "A tree.",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "default": []},
    },
    "required": ["name"],
}
TREE = {"$defs": {"Tree": NODE}, "$ref": "#/$defs/Tree"}
POINT = {"type": "object", "properties": {"x": {"type": "integer", "default": 0}}}


def _info(*parameters: str) -> ModelInfo:
    return ModelInfo.from_entry({"id": "vendor/one", "supported_parameters": list(parameters)})


ALL = ("function_calling", "json_schema", "json_mode")


@pytest.mark.parametrize(
    ("info", "methods"),
    [
        (None, ALL),
        (_info(), ALL),
        (_info("tools", "tool_choice"), ("function_calling",)),
        (_info("structured_outputs", "response_format"), ("json_schema", "json_mode")),
        (_info("temperature"), ()),
    ],
)
def test_what_a_model_knows_by_its_entry(info: ModelInfo | None, methods: tuple[str, ...]) -> None:
    assert methods_of(info) == methods


def test_a_method_is_one_that_all_know() -> None:
    tools, schema, mode = ALL
    assert method_for([[tools, schema], [schema, mode]]) == schema
    assert method_for([ALL, [mode]]) == mode
    assert method_for([ALL, ALL]) == tools
    assert method_for([[tools], [schema]]) is None


def test_names_are_cut_to_what_upstreams_take() -> None:
    assert tool_name("Box[int]") == "Box_int_"
    assert tool_name("N" * 80) == "N" * 64


def test_a_reference_at_the_root_is_resolved() -> None:
    assert as_object(TREE) == ({**NODE, "$defs": {"Tree": NODE}}, False)
    assert as_object({**TREE, "description": "Mine."}).schema["description"] == "Mine."
    chain = {"$defs": {"a/b": {"$ref": "#/$defs/c"}, "c": POINT}, "$ref": "#/$defs/a~1b"}
    assert as_object(chain).schema["properties"] == POINT["properties"]


@pytest.mark.parametrize("reference", ["#/$defs/Tree", "#/$defs/None", "https://example.com/tree.json"])
def test_references_that_lead_nowhere_end(reference: str) -> None:
    assert as_object({"$defs": {"Tree": {"$ref": "#/$defs/Tree"}}, "$ref": reference}).wrapped


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"$ref": "#/$defs/Point"}},
        {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
        {"enum": ["a", "b"]},
        {"type": "string"},
    ],
)
def test_what_is_no_object_is_put_into_one(schema: dict[str, Any]) -> None:
    given = {"title": "Points", "description": "Some.", "$defs": {"Point": POINT}, **schema}
    made, wrapped = as_object(copy.deepcopy(given))
    assert wrapped
    assert made == {
        "title": "Points",
        "description": "Some.",
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "$defs": {"Point": POINT},
    }


@pytest.mark.parametrize("schema", [{}, {"title": "Free"}, {"type": "object"}, {"properties": {}}])
def test_an_object_without_fields_names_them_all_the_same(schema: dict[str, Any]) -> None:
    assert as_object(schema) == ({**schema, "type": "object", "properties": {}}, False)


def test_only_the_wrapper_is_taken_off() -> None:
    assert unwrapped({"value": [1]}) == [1]
    assert unwrapped({"value": {"value": 1}}) == {"value": 1}
    for data in ([1], {"value": 1, "x": 2}, {"x": 2}, None):
        assert unwrapped(data) == data


def test_a_schema_that_holds_itself_is_known() -> None:
    assert is_recursive(TREE)
    two = {"$defs": {"A": {"items": {"$ref": "#/$defs/B"}}, "B": {"anyOf": [{"$ref": "#/$defs/A"}]}}}
    assert is_recursive(two)
    assert is_recursive({"properties": {"next": {"$ref": "#"}}})
    assert not is_recursive({"$defs": {"A": {"items": {"$ref": "#/$defs/B"}}, "B": POINT}, "$ref": "#/$defs/A"})


def test_strict_reaches_every_object() -> None:
    given = {
        "type": "object",
        "$defs": {"Point": POINT},
        "properties": {
            "default": {"type": "string"},
            "here": {"$ref": "#/$defs/Point", "description": "Where.", "default": {}},
            "there": {"$ref": "#/$defs/Point", "default": None},
            "old": {"allOf": [{"$ref": "#/$defs/Point"}], "default": {}},
            "shape": {"oneOf": [POINT, {"type": "null"}], "discriminator": {"propertyName": "kind"}},
            "list": {"type": "array", "items": POINT, "prefixItems": [POINT]},
            "counts": {"type": "object", "additionalProperties": POINT},
            "open": {**POINT, "additionalProperties": True},
        },
    }
    before = copy.deepcopy(given)
    point = {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "additionalProperties": False,
        "required": ["x"],
    }
    made = strict(given)
    assert given == before
    assert made["additionalProperties"] is False
    assert made["required"] == list(given["properties"])
    assert made["$defs"] == {"Point": point}
    assert made["properties"] == {
        "default": {"type": "string"},
        "here": {"anyOf": [{"$ref": "#/$defs/Point"}], "description": "Where."},
        "there": {"$ref": "#/$defs/Point"},
        "old": {"anyOf": [{"$ref": "#/$defs/Point"}]},
        "shape": {"anyOf": [point, {"type": "null"}]},
        "list": {"type": "array", "items": point, "prefixItems": [point]},
        "counts": {"type": "object", "additionalProperties": point},
        "open": point,
    }
    assert strict(made) == made
