"""What the capability probes let the gateway say: answers as OpenRouter writes them, and its odd forms."""

from __future__ import annotations

from typing import Any

from benchmarks.probing import LOST, YES
from kilocode_gateway.local import Reply

SERVED = "anthropic/claude-4.6-sonnet-20260217"
COST = 0.0125

USAGE: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "cost": COST,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
# What OpenRouter's replies hold, `system_fingerprint` too: its typed SDK refuses replies without one.
OUTER: dict[str, Any] = {
    "id": "gen-1760000000-probe",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": SERVED,
    "provider": "LocalProvider",
    "system_fingerprint": None,
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Write one chunk of a stream as OpenRouter does."""
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": "", **delta},
        "finish_reason": finish,
        "native_finish_reason": finish,
        "logprobs": None,
    }
    return {**OUTER, "choices": [choice], **more}


def reply(*deltas: dict[str, Any], finish: str = "stop", usage: dict[str, Any] | None = None, **faults: Any) -> Reply:
    """Script an answer of these deltas: a stream, or the same put together, whichever the request asks for."""
    told = USAGE if usage is None else usage
    return Reply.chunks([*map(chunk, deltas), chunk({}, finish), chunk({}, usage=told)], **faults)


def say(text: str = "Hello there.", **faults: Any) -> Reply:
    """Script a plain answer."""
    return reply({"content": text}, **faults)


def upstream(status: int, message: str) -> Reply:
    """Script an error as the upstream router writes it."""
    return Reply.raw(status, {"error": {"message": message, "code": status}})


def call(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """Write a piece of a tool call."""
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    return {"tool_calls": [{"type": "function", "function": function, **more}]}


THOUGHT = "First I look. Then I tell."
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def told(text: str, form: str, **more: Any) -> dict[str, Any]:
    """Write a piece of readable reasoning as the upstream router does."""
    detail = {"type": "reasoning.text", "text": text, "format": form, "index": 0, **more}
    return {"reasoning": text, "reasoning_details": [detail]}


def sealed(data: str, form: str, **more: Any) -> dict[str, Any]:
    """Write a piece of encrypted reasoning."""
    return {"reasoning_details": [{"type": "reasoning.encrypted", "data": data, "format": form, **more}]}


CLAUDE, GEMINI, OPENAI = "anthropic-claude-v1", "google-gemini-v1", "openai-responses-v1"
SIGNED = {"reasoning_details": [{"type": "reasoning.text", "signature": "c2ln", "format": CLAUDE, "index": 0}]}
SHAPES: dict[str, list[dict[str, Any]]] = {
    "anthropic": [told("First I look. ", CLAUDE), told("Then I tell.", CLAUDE), SIGNED],
    "gemini": [told(THOUGHT, GEMINI), sealed("ZGF0YQ==", GEMINI, id="call_1", index=1)],
    "openai": [
        {
            "reasoning": THOUGHT,
            "reasoning_details": [{"type": "reasoning.summary", "summary": THOUGHT, "format": OPENAI, "index": 0}],
        },
        sealed("Z0FBQQ==", OPENAI, id="rs_1", index=0),
    ],
    "kimi": [{"reasoning_content": "First I look. "}, {"reasoning_content": "Then I tell."}],
}
# Without `index` and without ids that name an upstream's own storage: those may be left out.
BACK: dict[str, list[dict[str, Any]]] = {
    "anthropic": [{"type": "reasoning.text", "text": THOUGHT, "signature": "c2ln", "format": CLAUDE}],
    "gemini": [
        {"type": "reasoning.text", "text": THOUGHT, "format": GEMINI},
        {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "format": GEMINI, "id": "call_1"},
    ],
    "openai": [
        {"type": "reasoning.summary", "summary": THOUGHT, "format": OPENAI},
        {"type": "reasoning.encrypted", "data": "Z0FBQQ==", "format": OPENAI},
    ],
}


def told_back(sent: list[dict[str, Any]] | None, shape: str) -> str:
    """Judge the reasoning that a request gives back: it must be what the answer had."""
    if not sent:
        return LOST
    if len(sent) != len(BACK[shape]):
        return f"no: {len(sent)} of {len(BACK[shape])} blocks"
    changed = {
        name: detail.get(name)
        for wanted, detail in zip(BACK[shape], sent, strict=True)
        for name, value in wanted.items()
        if detail.get(name) != value
    }
    if not changed:
        return YES
    name, value = next(iter(changed.items()))
    return f"no: `{name}` {'lost' if value is None else 'changed'}"
