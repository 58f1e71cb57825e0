"""Answers in the gateway's wrapping, read whole and piece by piece."""

from __future__ import annotations

from typing import Any

from kilocode_gateway.wire import Completion, StreamReader, read_completions

HEAD: dict[str, Any] = {"id": "gen-1", "model": "a/served", "provider": "P", "created": 5, "system_fingerprint": "fp"}
USAGE: dict[str, Any] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.0123}


def read_stream(*deltas: dict[str, Any], finish: str | None = "stop", usage: Any = USAGE) -> Completion:
    """Read a stream of deltas as the gateway wraps them, and hold that its pieces are its answer."""
    reader = StreamReader()
    found = [
        reader.read({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas
    ]
    found.append(reader.read({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    found.append(
        reader.read(
            {**HEAD, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}], "usage": usage}
        )
    )
    pieces = [delta for delta in found if delta is not None]
    answer = reader.completion("a/asked")
    assert "".join(delta.text for delta in pieces) == answer.text
    assert "".join(delta.reasoning for delta in pieces) == answer.reasoning
    for index, call in enumerate(answer.tool_calls):
        mine = [piece for delta in pieces for piece in delta.tool_calls if piece.index == index]
        assert [piece.id for piece in mine] == [call.id] + [None] * (len(mine) - 1)
        assert [piece.name for piece in mine if piece.name] == ([call.name] if call.name else [])
        assert "".join(piece.arguments for piece in mine) == call.arguments
    assert {piece.index for delta in pieces for piece in delta.tool_calls} == set(range(len(answer.tool_calls)))
    return answer


def read_whole(message: dict[str, Any], finish: str = "stop") -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return read_completions({**HEAD, "choices": [choice], "usage": USAGE}, "a/asked")[0]


def detail(text: str | None = None, signature: str | None = None, **more: Any) -> dict[str, Any]:
    fields = {"text": text, "signature": signature}
    kept = {key: value for key, value in fields.items() if value is not None}
    return {"type": "reasoning.text", **kept, "format": "anthropic-claude-v1", "index": 0, **more}


def told_twice(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "reasoning": text, "reasoning_details": [detail(text, **more)]}
