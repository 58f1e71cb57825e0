"""`chat`: one answer, written as it comes."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.commands.terminal import FAILED, OK, did_you_mean, say, steady, write_json
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import ModelNotFoundError
from kilocode_gateway.models import amount_text, decimal_text
from kilocode_gateway.transport import Transport

if TYPE_CHECKING:
    import argparse

    from kilocode_gateway.streams import Stream
    from kilocode_gateway.wire import Completion

_DEFAULT_MODEL = "kilo/auto"
_REFERENCE = re.compile(r"[^\s/]+(?:/[^\s/]+)+")
"""A text that, alone, is read as a model: `vendor/name`."""
_MOST_WORDS = 2


def run(arguments: argparse.Namespace) -> int:
    """Send a prompt, write the answer to standard output as it comes, and tell aside who gave it and what it cost.

    Raises:
        KiloCodeError: If there is no whole answer.
        SystemExit: If the arguments hold no prompt.

    """
    model, prompt = _asked(arguments)
    messages = [{"role": "user", "content": prompt}]
    if arguments.system:
        messages.insert(0, {"role": "system", "content": arguments.system})
    config = GatewayConfig.resolve()
    try:
        with Transport(config).stream({"model": model, "messages": messages}) as stream:
            if arguments.json:
                _ = list(stream)
            else:
                _write(stream)
            answer = stream.completion
    except ModelNotFoundError as exc:
        # The transport's own hint is made of the list at hand; there may be none yet.
        near = [] if exc.details.get("nearest") else Catalog.discover(config=config).nearest(model)
        say(f"error: {exc}{did_you_mean(near)}")
        return FAILED
    if answer is not None and arguments.json:
        write_json(_to_dict(answer))
    elif answer is not None:
        say(_summary(answer))
    return OK


def _asked(arguments: argparse.Namespace) -> tuple[str, str]:
    """Give the model and the prompt."""
    words, error = arguments.words, arguments.parser.error
    if len(words) > _MOST_WORDS:
        error("expected at most a MODEL and a PROMPT: put the prompt in quotes")
    model, prompt = _DEFAULT_MODEL, "-"
    if len(words) == _MOST_WORDS:
        model, prompt = words
    elif words and _REFERENCE.fullmatch(words[0]):
        model = words[0]
    elif words:
        prompt = words[0]
    alone = f" {model!r} alone is read as the MODEL." if words == [model] else ""
    if prompt == "-":
        if "-" not in words and sys.stdin.isatty():
            error(f"there is no prompt.{alone} Give a PROMPT, or pipe one in")
        prompt = sys.stdin.read().removesuffix("\n")
    if not prompt.strip():
        error(f"the prompt is empty, so nothing was sent.{alone}")
    return model, prompt


def _write(stream: Stream) -> None:
    """Write the text as it comes, and end its last line, also where it breaks off."""
    shown = steady if sys.stdout.isatty() else str
    last = ""
    try:
        for delta in stream:
            last = delta.text or delta.refusal or last
            sys.stdout.write(shown(delta.text or delta.refusal))
            sys.stdout.flush()
    finally:
        if last and not last.endswith("\n"):
            print(flush=True)


def _summary(answer: Completion) -> str:
    who = answer.model or "an unnamed model"
    if answer.model != answer.requested_model:
        who += f" for {answer.requested_model}"
    parts = [who]
    usage = answer.usage
    if usage is not None:
        thoughts = f" ({usage.reasoning_tokens:,} of them reasoning)" if usage.reasoning_tokens else ""
        parts.append(f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out{thoughts}")
    cost = None if usage is None else usage.cost
    parts.append("cost not told" if cost is None else f"{amount_text(cost)} USD")
    if answer.finish_reason != "stop":
        parts.append(f"it ended because of {answer.finish_reason!r}")
    if not answer.text and not answer.refusal:
        parts.append("it holds no text")
    return "; ".join(parts)


def _to_dict(answer: Completion) -> dict[str, Any]:
    usage = answer.usage
    counted = ("input_tokens", "output_tokens", "total_tokens", "reasoning_tokens", "cache_read_tokens")
    cost = None if usage is None else usage.cost
    return {
        "model": answer.model,
        "requested_model": answer.requested_model,
        "text": answer.text or answer.refusal,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish_reason,
        "usage": None if usage is None else {name: getattr(usage, name) for name in counted},
        "cost_usd": None if cost is None else decimal_text(cost),
    }
