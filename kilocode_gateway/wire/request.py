"""Shapes a chat request for a proxy: what native OpenAI clients send and this gateway must not get is changed here.

Source of each rule: OpenClaw's handling of proxy-style routes (autumn 2026) and the gateway's server source.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.models import is_auto
from kilocode_gateway.wire.callers import users_level
from kilocode_gateway.wire.settings import merge, room_for

_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]+\Z")
_SIGNATURE_KEYS = ("thoughtSignature", "thought_signature")
_NOT_EXTRA = {
    "model": "Give it as model=....",
    "messages": "Give them to the call.",
    "stream": "Call the method that streams, or the one that does not.",
}
_OFF = frozenset({"none", "off"})


def shape(body: Mapping[str, Any], *, model: str, stream: bool, warn: bool = True) -> dict[str, Any]:
    """Give the request as it goes out.

    Args:
        body: The request as the user or the framework put it: `messages`, parameters, and `extra_body`, whose fields
            are merged in last and as they are; None among them takes a field out.
        model: The id that is sent.
        stream: Whether a stream is asked for.
        warn: Whether to warn of a setting that is left out.

    Raises:
        ConfigurationError: If `extra_body` is no dict.

    The same request shaped twice is the same. `body` and what it holds stay as they are.
    """
    extra = body.get("extra_body")
    if extra is not None and not isinstance(extra, Mapping):
        msg = f"extra_body must be a dict of request fields, got {type(extra).__name__}."
        raise ConfigurationError(msg)
    for name, advice in _NOT_EXTRA.items():
        if extra and name in extra:
            msg = f"extra_body cannot hold {name!r}, which is what the request is about. {advice}"
            raise ConfigurationError(msg)
    shaped = {name: value for name, value in body.items() if value is not None and name != "extra_body"}
    shaped["model"] = model
    if "messages" in shaped:
        shaped["messages"] = _messages(shaped["messages"], model)
    if "max_completion_tokens" in shaped:
        shaped.setdefault("max_tokens", shaped["max_completion_tokens"])
        del shaped["max_completion_tokens"]
    if isinstance(shaped.get("stop"), str):
        shaped["stop"] = [shaped["stop"]]
    if "tools" in shaped:
        shaped["tools"] = [_tool(tool) for tool in shaped["tools"]]
    _shape_reasoning(shaped, model, warn=warn)
    shaped.pop("stream", None)
    options = shaped.pop("stream_options", None)
    if stream:
        shaped["stream"] = True
        shaped["stream_options"] = {**(options or {}), "include_usage": True}
    if extra:
        shaped = merge(room_for(extra, shaped), extra)
    return shaped


def _shape_reasoning(shaped: dict[str, Any], model: str, *, warn: bool) -> None:
    """Turn OpenAI's `reasoning_effort` into `reasoning: {effort}`, or leave it out where it is of no use."""
    effort = shaped.pop("reasoning_effort", None)
    if effort is None:
        return
    reasoning = shaped.get("reasoning") or {}
    if reasoning.get("effort") is not None or reasoning.get("max_tokens") is not None:
        return
    why = _why_no_effort(effort, model)
    if why and warn:
        warnings.warn(
            f"reasoning_effort={effort!r} is not sent to {model!r}: {why}. "
            f"reasoning={{'effort': {effort!r}}} is sent as it is.",
            UserWarning,
            stacklevel=users_level(),
        )
    if why:
        return
    shaped["reasoning"] = {**reasoning, "effort": effort}


def _why_no_effort(effort: str, model: str) -> str:
    if effort in _OFF:
        return "models that always think refuse a request that turns it off"
    if is_auto(model):
        return "the gateway decides it for the auto models"
    return "these models refuse it" if model.startswith("x-ai/") else ""


def _tool(tool: Any) -> Any:
    """Leave out `strict` where it only says false: most providers behind the gateway do not know it."""
    if not isinstance(tool, dict):
        return tool
    function = tool.get("function")
    if isinstance(function, dict) and "strict" in function and not function["strict"]:
        return {**tool, "function": {name: value for name, value in function.items() if name != "strict"}}
    return tool


def _messages(messages: Any, model: str) -> Any:
    gemini = "gemini" in model
    shaped = []
    for message in messages:
        if not isinstance(message, dict):
            shaped.append(message)
            continue
        if message.get("role") == "developer":
            message = {**message, "role": "system"}  # noqa: PLW2901 - the caller's own stays as it is
        if gemini and message.get("role") == "assistant":
            message = _with_clean_signatures(message)  # noqa: PLW2901
        shaped.append(message)
    return shaped


def _with_clean_signatures(message: dict[str, Any]) -> dict[str, Any]:
    """Drop thought signatures that are no base64: Gemini refuses the whole request for one of them."""
    details = message.get("reasoning_details")
    if isinstance(details, list):
        kept = [
            item
            for item in details
            if not (
                isinstance(item, dict)
                and item.get("type") == "reasoning.encrypted"
                and not _is_base64(item.get("data"))
            )
        ]
        message = {**message, "reasoning_details": kept}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message = {**message, "tool_calls": [_without_bad_signature(call) for call in calls]}
    return message


def _without_bad_signature(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: inner if name == "function" else _without_bad_signature(inner)
        for name, inner in value.items()
        if name not in _SIGNATURE_KEYS or _is_base64(inner)
    }


def _is_base64(value: object) -> bool:
    return isinstance(value, str) and _BASE64.match(value) is not None
