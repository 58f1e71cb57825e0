"""Fills gaps in code by rule, and writes the answers as the two providers do that the newest gateway has for it.

Order of checks and shapes: gateway server source, February and November 2026. Neither provider tells a cost, and both
name the model without its vendor.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local.answerer import limited
from kilocode_gateway.local.chat import Answer, Envelope
from kilocode_gateway.local.reply import Context, Shape
from kilocode_gateway.local.words import count_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/api/fim/completions"
MODELS = ("mistralai/codestral-2508", "inception/mercury-edit-2")
"""The models of the newest gateway; the elder takes all that begin with "mistralai/"."""

_MOST_TOKENS = 1000
_PIECE = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
_HEADER = re.compile(r"\b(?:def|function|func|fn)\s+(\w+)\s*\(([^)]*)\)[^\n]*")
_WORD = re.compile(r"[^\W\d]\w*")
_OPERATORS = {"add": "+", "sum": "+", "plus": "+", "sub": "-", "minus": "-", "mul": "*", "times": "*", "div": "/"}
_KINDS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "prompt": (str,),
    "suffix": (str,),
    "max_tokens": (int, float),
    "min_tokens": (int, float),
    "stop": (list,),
    "stream": (bool,),
}


def read(data: bytes) -> dict[str, Any] | None:
    """Read a request: the fields that the gateway knows, or None where it would not take them. Others are dropped."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not {"model", "prompt"} <= set(body):
        return None
    known = {name: body[name] for name in _KINDS if name in body}
    fits = all(
        isinstance(value, _KINDS[name]) and (bool in _KINDS[name] or not isinstance(value, bool))
        for name, value in known.items()
    )
    return known if fits and all(isinstance(stop, str) for stop in known.get("stop", ())) else None


def refusal(model: str, *, newest: bool) -> dict[str, Any] | None:
    """Say what a gateway answers for a model that fills no gaps; None for one that does."""
    if newest:
        known = model in MODELS
        error = {"error": f"{model} is not a supported FIM model", "error_type": "unsupported_fim_model"}
    else:
        known = model.startswith("mistralai/")
        error = {"error": f"{model} is not a mistralai model"}
    return None if known else error


def allows(tokens: Any) -> bool:
    """Say whether a `max_tokens` is there and within the limit."""
    return bool(tokens) and tokens <= _MOST_TOKENS


def context(body: Mapping[str, Any], comment: str) -> Context:
    """Give what an answer is rendered for; whatever is wrong with the request does not matter."""
    model = body.get("model")
    vendor, _, name = (model if isinstance(model, str) else "").rpartition("/")
    tokens = sum(count_tokens(text) for part in ("prompt", "suffix") if isinstance(text := body.get(part), str))
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}

    def count(found: Answer) -> None:
        usage["completion_tokens"] = count_tokens(found.text or "")
        usage["total_tokens"] = tokens + usage["completion_tokens"]

    shape = _INCEPTION if vendor == "inception" else _MISTRAL
    return Context(body.get("stream") is True, Envelope(name, None, usage), comment, count, shape)


def answer(body: dict[str, Any]) -> Answer:
    """Answer a request that was read."""
    return limited(Answer(fill(body["prompt"], body.get("suffix", ""))), body)


def fill(prompt: str, suffix: str) -> str:
    """Give what may stand between two pieces of code: the value or the statement that the function before it wants."""
    headers = list(_HEADER.finditer(prompt))
    if not headers:
        return _known_word(prompt, suffix)
    header = headers[-1]
    body = prompt[header.end() :]
    before, _, line = prompt.rpartition("\n")
    parameters = [name for name in _parameters(header[2]) if name not in ("self", "cls")]
    value = _value(header[1], parameters, before[header.end() :])
    if line.strip():
        opened = line.rstrip().endswith(":") and not body.strip()
        lead = "\n    return " if opened else "" if line[-1] in " \t(" else " "
        return lead + value
    return f"{'' if line else '    '}return {value}"


def _parameters(written: str) -> list[str]:
    return [found[0] for part in written.split(",") if (found := _WORD.search(part))]


def _value(name: str, parameters: list[str], body: str) -> str:
    if len(parameters) > 1:
        operator = next((sign for word, sign in _OPERATORS.items() if word in name.lower()), "+")
        return f" {operator} ".join(parameters)
    if parameters and "return" in body:
        # A case is settled already, so the others go back to it.
        return f"{name}({parameters[0]} - 1)"
    return parameters[0] if parameters else "None"


def _known_word(prompt: str, suffix: str) -> str:
    """Give the latest word before the gap that stands after it too, else the latest one."""
    before, after = _WORD.findall(prompt), set(_WORD.findall(suffix))
    return next((word for word in reversed(before) if word in after), before[-1] if before else "pass")


def _message(found: Answer, envelope: Envelope) -> dict[str, Any]:
    message = {"role": "assistant", "content": found.text}
    choice = {"index": 0, "message": message, "finish_reason": found.finish}
    return _outer("fim.completion", found, envelope, choice, with_usage=True)


def _deltas(found: Answer, envelope: Envelope) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _PIECE.findall(found.text or "")]
    choices: list[dict[str, Any]]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {"content": ""}, "finish_reason": found.finish})
    return _chunks("fim.completion.chunk", found, envelope, choices)


def _text(found: Answer, envelope: Envelope) -> dict[str, Any]:
    choice = {"text": found.text, "index": 0, "logprobs": None, "finish_reason": found.finish}
    return _outer("text_completion", found, envelope, choice, with_usage=True)


def _texts(found: Answer, envelope: Envelope) -> list[dict[str, Any]]:
    choices = [{"text": piece, "index": 0, "finish_reason": None} for piece in _PIECE.findall(found.text or "")]
    choices.append({"text": "", "index": 0, "finish_reason": found.finish})
    return _chunks("text_completion", found, envelope, choices)


def _chunks(kind: str, found: Answer, envelope: Envelope, choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = len(choices) - 1
    return [_outer(kind, found, envelope, choice, with_usage=place == last) for place, choice in enumerate(choices)]


def _outer(kind: str, found: Answer, envelope: Envelope, choice: dict[str, Any], *, with_usage: bool) -> dict[str, Any]:
    usage = envelope.usage if found.usage is None else found.usage
    return {**envelope.outer(kind, found), "choices": [choice], **({"usage": usage} if with_usage else {})}


_MISTRAL = Shape(_message, _deltas)
_INCEPTION = Shape(_text, _texts)
