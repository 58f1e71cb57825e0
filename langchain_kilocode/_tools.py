"""Tools and the choice among them, as the wire has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from kilocode_gateway.wire.schemas import clean_name
from langchain_kilocode.errors import ConfigurationError

_FORMS = (
    "A tool must be a function, a Pydantic class, a TypedDict, a LangChain tool, a JSON schema with a 'title', "
    "or the wire's dict"
)

_PASSED_ON = ("cache_control", "defer_loading")
"""What a LangChain tool's `extras` may add to its definition."""


def to_tool(tool: Any, strict: bool | None = None) -> dict[str, Any]:
    """Give a tool as it goes over the wire.

    Raises:
        ConfigurationError: If it is nothing that a tool can be made of.

    """
    if (
        isinstance(tool, dict)
        and isinstance(tool.get("type"), str)
        and tool["type"] not in ("function", "object", "custom")
    ):
        # A provider's own tool, which runs there.
        return tool
    if not (isinstance(tool, (dict, BaseTool)) or callable(tool)):
        msg = f"{_FORMS}, got {type(tool).__name__}."
        raise ConfigurationError(msg)
    try:
        formatted = convert_to_openai_tool(tool, strict=strict)
    except ValueError as error:
        if not isinstance(tool, dict):
            raise
        msg = f"{_FORMS}, got dict with the fields {', '.join(map(str, tool)) or 'none'}."
        raise ConfigurationError(msg) from error
    if not isinstance(tool, (dict, BaseTool)):
        # Generic classes have brackets in their names, and lambdas too; what the user named is left alone.
        formatted["function"]["name"] = clean_name(formatted["function"]["name"])
    extras = getattr(tool, "extras", None) if isinstance(tool, BaseTool) else None
    if isinstance(extras, dict):
        formatted.update({name: extras[name] for name in _PASSED_ON if name in extras})
    return formatted


def to_tools(tools: Any, strict: bool | None = None) -> list[dict[str, Any]]:
    """Give a list of tools as it goes over the wire.

    Raises:
        ConfigurationError: If it is no list, or holds what no tool can be made of.

    """
    if not isinstance(tools, Iterable) or isinstance(tools, (str, dict)):
        got = "None" if tools is None else type(tools).__name__
        msg = f"Tools must be a list, got {got}. Give one tool alone as [tool], and no tools as []."
        raise ConfigurationError(msg)
    return [to_tool(tool, strict) for tool in tools]


def with_tools_of_the_wire(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give a call's settings with their tools, and the choice among them, as they go over the wire."""
    given = dict(settings)
    if given.get("tools") is not None:
        given["tools"] = to_tools(given["tools"])
    if "tool_choice" in given and given.get("tools"):
        given["tool_choice"] = to_choice(given["tool_choice"], given["tools"]) if given["tool_choice"] else None
    return given


def to_choice(choice: dict[str, Any] | str | bool, tools: list[dict[str, Any]]) -> dict[str, Any] | str:
    """Give a choice among tools as it goes over the wire.

    Raises:
        ConfigurationError: If it names no tool.

    """
    if isinstance(choice, dict):
        return choice
    if choice is True or choice == "any":
        return "required"
    names = [tool["function"]["name"] for tool in tools if isinstance(tool.get("function"), dict)]
    for name in (choice, clean_name(str(choice))):
        if name in names:
            return {"type": "function", "function": {"name": name}}
    if choice in ("auto", "none", "required"):
        return choice
    if any(choice in (tool.get("type"), tool.get("name")) for tool in tools):
        return {"type": choice}
    known = ", ".join(names) or "there are none"
    msg = f"tool_choice={choice!r} is none of the tools: {known}. Or give 'auto', 'none' or 'any'."
    raise ConfigurationError(msg)


def without_credentials(tool: Any) -> Any:
    """Keep the keys of a remote tool out of traces."""
    if isinstance(tool, dict) and tool.get("type") == "mcp":
        return {name: "**REDACTED**" if name in ("headers", "authorization") else value for name, value in tool.items()}
    return tool
