"""How an object is asked for: by which method, and with its JSON schema in a form that providers take.

Sources: what OpenAI says of function names (64 characters) and of strict schemas in its guide to structured outputs,
and what it and Fireworks answer to others (November 2026).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kilocode_gateway.wire.values import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kilocode_gateway.models import ModelInfo

Method = Literal["function_calling", "json_schema", "json_mode"]
METHODS: tuple[Method, ...] = ("function_calling", "json_schema", "json_mode")
"""The ways to ask for an object, best first: tools work through most providers, and through the auto models."""
_LISTED_AS: dict[Method, str] = {
    "function_calling": "tools",
    "json_schema": "structured_outputs",
    "json_mode": "response_format",
}

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
_WRAPPER = "value"
_SHAPING = ("$ref", "anyOf", "oneOf", "allOf", "enum", "const", "not")
_DEFINITIONS = ("$defs", "definitions")
_ABOUT = ("title", "description")
_MAPS = ("properties", "patternProperties", *_DEFINITIONS)
_LISTS = ("anyOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def methods_of(info: ModelInfo | None) -> tuple[Method, ...]:
    """List the methods that a model knows by its catalog entry, best first; all, where nothing is known of it."""
    parameters = frozenset() if info is None else info.supported_parameters
    return tuple(method for method in METHODS if not parameters or _LISTED_AS[method] in parameters)


def method_for(known: Iterable[Iterable[Method]]) -> Method | None:
    """Give the best method that each of several models knows; None where there is none."""
    sets = [set(methods) for methods in known]
    return next((method for method in METHODS if all(method in methods for methods in sets)), None)


def clean_name(name: str) -> str:
    """Give a class's or a function's name with the letters that upstreams take of a tool: no brackets, no dots."""
    return _NO_NAME.sub("_", name)


def tool_name(name: str) -> str:
    """Give a name for a schema, which nobody looks up by it: clean, and as long as upstreams take it."""
    return clean_name(name)[:_LONGEST_NAME]


class Shaped(NamedTuple):
    """A schema whose root is an object."""

    schema: dict[str, Any]
    wrapped: bool
    """Whether what was wanted is none, and stands in the object's only field; `unwrapped` takes it out."""


def as_object(schema: Mapping[str, Any]) -> Shaped:
    """Give a schema whose root is an object, as upstreams want it of a tool's arguments and of a response format.

    A reference at the root, as a class that holds itself has it, is resolved. What is no object is put into one.
    """
    root = _resolved(schema)
    kind = root.get("type")
    if kind is None and ("properties" in root or not any(name in root for name in (*_SHAPING, "items"))):
        kind = "object"
    if kind == "object":
        return Shaped({**root, "type": "object", "properties": as_dict(root.get("properties"))}, wrapped=False)
    outside = {name: root[name] for name in (*_ABOUT, *_DEFINITIONS) if name in root}
    inside = {name: value for name, value in root.items() if name not in outside}
    wrapper = {"type": "object", "properties": {_WRAPPER: inside}, "required": [_WRAPPER]}
    return Shaped({**outside, **wrapper}, wrapped=True)


def unwrapped(data: Any) -> Any:
    """Take what was wanted out of the object that `as_object` put it into, if the model kept to it."""
    return data[_WRAPPER] if isinstance(data, dict) and data.keys() == {_WRAPPER} else data


def is_recursive(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema holds itself, so that its references cannot all be written out."""
    found = {
        f"#/{group}/{name}": set(_references(part))
        for group in _DEFINITIONS
        for name, part in as_dict(schema.get(group)).items()
    }
    return "#" in _references(schema) or any(_leads_to(name, name, found) for name in found)


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema in the form that strict providers take, all through.

    No object has further fields, all its fields are required, there are no defaults, alternatives are `anyOf`, and
    nothing stands beside a reference. Objects of free keys stay as they are: there is no strict form of them.
    """
    node = {name: value for name, value in schema.items() if name not in ("default", "discriminator")}
    if "oneOf" in node and "anyOf" not in node:
        node["anyOf"] = node.pop("oneOf")
    parts = node.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and "anyOf" not in node:
        node["anyOf"] = node.pop("allOf")
    if "$ref" in node and len(node) > 1:
        node = {"anyOf": [{"$ref": node.pop("$ref")}], **node}
    for name in _MAPS:
        if isinstance(node.get(name), dict):
            node[name] = {key: _strict_part(part) for key, part in node[name].items()}
    for name in _LISTS:
        if isinstance(node.get(name), list):
            node[name] = [_strict_part(part) for part in node[name]]
    for name in _SINGLE:
        node.update({name: _strict_part(node[name])} if name in node else {})
    if isinstance(node.get("properties"), dict):
        further = node.get("additionalProperties")
        node["additionalProperties"] = further if isinstance(further, dict) else False
        node["required"] = list(node["properties"])
    return node


def _strict_part(part: Any) -> Any:
    return strict(part) if isinstance(part, dict) else part


def _resolved(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Put the definition in place of a reference at the root; what stands beside it wins."""
    root, seen = dict(schema), set()
    while isinstance(reference := root.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        group, _, name = reference.removeprefix("#/").partition("/")
        target = as_dict(schema.get(group)).get(name.replace("~1", "/").replace("~0", "~"))
        if group not in _DEFINITIONS or not isinstance(target, dict):
            break
        root = {**target, **{key: value for key, value in root.items() if key != "$ref"}}
    return root


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for part in node for reference in _references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [reference for part in node.values() for reference in _references(part)]


def _leads_to(wanted: str, start: str, found: Mapping[str, set[str]]) -> bool:
    seen: set[str] = set()
    waiting = set(found[start])
    while waiting:
        step = waiting.pop()
        if step == wanted:
            return True
        seen.add(step)
        waiting |= found.get(step, set()) - seen
    return False
