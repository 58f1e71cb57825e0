"""Puts an answer into the gateway's shapes: a chat.completion, or the chunks of a stream.

Shapes as recorded from the gateway's server source of February 2026: ids "gen-...", the role repeated in each chunk,
reasoning told twice (plain and in details), and a usage chunk after the one with the finish reason.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PIECE = re.compile(r"\s*\S{1,24}|\s+")
_MOST_ARGUMENT_PIECE = 12
_numbers = itertools.count(1)


@dataclass(slots=True)
class Answer:
    """What the assistant says."""

    text: str | None = ""
    reasoning: str = ""
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()
    """Each {"name", "arguments": text or an object, "id"?}."""
    annotations: list[dict[str, Any]] | None = None
    images: list[dict[str, Any]] | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    """tool_calls with calls, else stop, unless given."""
    usage: dict[str, Any] | None = None
    model: str | None = None
    provider: str | None = None

    @property
    def finish(self) -> str:
        """The finish reason that goes out."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    def details(self, vendor: str = "anthropic") -> list[dict[str, Any]]:
        """Give the reasoning as the structured blocks that clients send back."""
        if self.reasoning_details is not None:
            return self.reasoning_details
        if not self.reasoning:
            return []
        form = {"openai": "openai-responses-v1", "google": "google-gemini-v1"}.get(vendor, "anthropic-claude-v1")
        return [
            {
                "type": "reasoning.text",
                "text": self.reasoning,
                "format": form,
                "index": 0,
                "signature": "bG9jYWwtc2lnbmF0dXJl",
            }
        ]


@dataclass(slots=True)
class Envelope:
    """What stands around an answer."""

    model: str
    provider: str | None
    usage: dict[str, Any]
    choices: int = 1
    id: str = field(default_factory=lambda: f"gen-{int(time.time())}-{next(_numbers):08x}")
    created: int = field(default_factory=lambda: int(time.time()))

    def outer(self, kind: str, answer: Answer) -> dict[str, Any]:
        """Give the fields that a completion and a chunk share."""
        provider = answer.provider or self.provider
        return {
            "id": self.id,
            **({"provider": provider} if provider else {}),
            "model": answer.model or self.model,
            "object": kind,
            "created": self.created,
        }


def dump(value: Any) -> str:
    """Write JSON as the gateway does: no blanks, no escapes that are not needed."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a character, which has no bytes: it is told by its number, as JavaScript tells it.
        return json.dumps(value, separators=(",", ":"))
    return text


def completion(answer: Answer, envelope: Envelope) -> dict[str, Any]:
    """Give the whole answer as one chat.completion."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": answer.refusal,
        "reasoning": answer.reasoning or None,
    }
    if details := answer.details(_vendor(envelope.model)):
        message["reasoning_details"] = details
    if answer.tool_calls:
        message["content"] = answer.text or None
        message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(wire_calls(answer.tool_calls))]
    message |= {name: value for name in ("annotations", "images") if (value := getattr(answer, name)) is not None}
    choices = [
        {
            "logprobs": None,
            "finish_reason": answer.finish,
            "native_finish_reason": answer.finish,
            "index": index,
            "message": message,
        }
        for index in range(envelope.choices)
    ]
    usage = envelope.usage if answer.usage is None else answer.usage
    return {**envelope.outer("chat.completion", answer), "choices": choices, "usage": usage}


def chunks(answer: Answer, envelope: Envelope) -> list[dict[str, Any]]:
    """Give the answer as the chunks of a stream, the one with the usage last."""
    outer = envelope.outer("chat.completion.chunk", answer)
    found = []
    for delta, finish in [
        *((delta, None) for delta in _deltas(answer, envelope)),
        ({"role": "assistant", "content": ""}, answer.finish),
    ]:
        for index in range(envelope.choices):
            choice = {
                "index": index,
                "delta": delta,
                "finish_reason": finish,
                "native_finish_reason": finish,
                "logprobs": None,
            }
            found.append({**outer, "choices": [choice]})
    usage = envelope.usage if answer.usage is None else answer.usage
    empty = {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "finish_reason": None,
        "native_finish_reason": None,
        "logprobs": None,
    }
    return [*found, {**outer, "choices": [empty], "usage": usage}]


def _deltas(answer: Answer, envelope: Envelope) -> Iterable[dict[str, Any]]:
    yield from _reasoning_deltas(answer, _vendor(envelope.model))
    pieces = _PIECE.findall(answer.text or "")
    for piece in pieces:
        yield {"role": "assistant", "content": piece}
    for index, call in enumerate(wire_calls(answer.tool_calls)):
        arguments = call["function"]["arguments"]
        first = {"index": index, **call, "function": {**call["function"], "arguments": ""}}
        yield {"role": "assistant", "content": None, "tool_calls": [first]}
        size = max(1, min(_MOST_ARGUMENT_PIECE, -(-len(arguments) // 3)))
        for start in range(0, len(arguments), size):
            part = {"index": index, "function": {"arguments": arguments[start : start + size]}, "type": "function"}
            yield {"role": "assistant", "content": None, "tool_calls": [part]}
    extras = {
        name: value for name in ("annotations", "images", "refusal") if (value := getattr(answer, name)) is not None
    }
    if extras:
        yield {"role": "assistant", "content": "", **extras}


def _reasoning_deltas(answer: Answer, vendor: str) -> Iterable[dict[str, Any]]:
    """Give reasoning as it comes upstream: text in pieces, then the signature; plain and in details at once."""
    for detail in answer.details(vendor):
        rest = {name: value for name, value in detail.items() if name not in ("text", "signature")}
        text, signature = detail.get("text"), detail.get("signature")
        for piece in _PIECE.findall(text or ""):
            yield {
                "role": "assistant",
                "content": "",
                "reasoning": piece,
                "reasoning_details": [{**rest, "text": piece}],
            }
        if signature is not None or text is None:
            last = rest if signature is None else {**rest, "signature": signature}
            shown = detail.get("summary") if signature is None else None
            yield {"role": "assistant", "content": "", "reasoning": shown, "reasoning_details": [last]}
    if answer.reasoning and not answer.details(vendor):
        for piece in _PIECE.findall(answer.reasoning):
            yield {"role": "assistant", "content": "", "reasoning": piece}


def wire_calls(calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put calls into the wire's shape; objects become JSON text, missing ids are made."""
    found = []
    for call in calls:
        arguments = call.get("arguments", "")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        known = {name: value for name, value in call.items() if name not in ("id", "name", "arguments")}
        id_ = call.get("id") or f"call_{next(_numbers):08x}"
        found.append({"id": id_, "type": "function", "function": {"name": call["name"], "arguments": text}, **known})
    return found


def _vendor(model: str) -> str:
    return model.partition("/")[0].lstrip("~")


def events(
    found: Iterable[Mapping[str, Any] | str | bytes],
    *,
    done: bool = True,
    comments: int = 1,
    comment: str = "KILO PROCESSING",
) -> list[bytes]:
    """Write chunks as server-sent events; text and bytes go out as they are."""
    pieces = [f": {comment}\n\n".encode()] * comments
    for chunk in found:
        if isinstance(chunk, bytes):
            pieces.append(chunk)
        else:
            pieces.append((chunk if isinstance(chunk, str) else f"data: {dump(chunk)}\n\n").encode())
    return [*pieces, b"data: [DONE]\n\n"] if done else pieces


def merged(found: Iterable[Any], envelope: Envelope) -> dict[str, Any]:
    """Put the chunks of a stream together into the chat.completion that a client without streaming would get."""
    outer: dict[str, Any] = {**envelope.outer("chat.completion", Answer())}
    usage: Any = envelope.usage
    choices: dict[int, dict[str, Any]] = {}
    for chunk in found:
        if not isinstance(chunk, dict):
            continue
        outer |= {name: value for name, value in chunk.items() if name not in ("choices", "usage", "object")}
        usage = chunk.get("usage") or usage
        for part in chunk.get("choices") or ():
            index = part.get("index", 0)
            choice = choices.setdefault(
                index, {"index": index, "finish_reason": None, "message": {"role": "assistant", "content": None}}
            )
            choice |= {name: value for name, value in part.items() if name != "delta" and value is not None}
            _add_delta(choice["message"], part.get("delta") or {})
    return {**outer, "choices": [choices[index] for index in sorted(choices)], "usage": usage}


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if value is None or name == "role":
            continue
        if name == "tool_calls":
            _add_calls(message.setdefault(name, []), value)
        elif name == "reasoning_details":
            _add_details(message.setdefault(name, []), value)
        elif isinstance(value, str) and isinstance(message.get(name), str):
            message[name] += value
        elif isinstance(value, list):
            message.setdefault(name, []).extend(value)
        else:
            message[name] = value


def _add_calls(calls: list[dict[str, Any]], parts: Iterable[Mapping[str, Any]]) -> None:
    for part in parts:
        function = part.get("function") or {}
        known = next((call for call in calls if call["index"] == part.get("index", 0)), None)
        if known is None:
            known = {
                "index": part.get("index", 0),
                "id": part.get("id"),
                "type": "function",
                "function": {"name": "", "arguments": ""},
            }
            calls.append(known)
        known["id"] = known["id"] or part.get("id")
        known["function"]["name"] = known["function"]["name"] or function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""


def _add_details(details: list[dict[str, Any]], parts: Iterable[Mapping[str, Any]]) -> None:
    """Join the pieces of a block: those with the same type and index."""
    for part in parts:
        last = details[-1] if details else None
        if last is None or (last.get("type"), last.get("index")) != (part.get("type"), part.get("index")):
            details.append(dict(part))
            continue
        for name, value in part.items():
            last[name] = last.get(name, "") + value if name in ("text", "summary", "data") else value
