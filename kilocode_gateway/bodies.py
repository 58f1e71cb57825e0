"""Reads the bodies of answers that come whole, and names what is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kilocode_gateway import wire
from kilocode_gateway.error_bodies import error_from_payload
from kilocode_gateway.errors import KiloCodeError, MalformedReplyError
from kilocode_gateway.sse import BYTE_ORDER_MARK, PREVIEW_BYTES
from kilocode_gateway.wire.reply import error_in

if TYPE_CHECKING:
    from kilocode_gateway.answers import AsyncOpenAnswer, OpenAnswer
    from kilocode_gateway.error_texts import Context

BLANKS = b" \t\r\n"
"""White space, which the gateway sends before a body to keep the connection alive."""


def read_payload(body: bytes, opened: OpenAnswer | AsyncOpenAnswer) -> dict[str, Any]:
    """Read a body that must be a JSON object; white space before it is the gateway's keep-alive.

    Raises:
        MalformedReplyError: If it is none.
        KiloCodeError: If the object is an error after all.

    """
    try:
        payload = json.loads(body.lstrip(BLANKS).removeprefix(BYTE_ORDER_MARK).decode())
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise not_json(body, opened)
    failed = error_in(payload)
    if failed is not None:
        raise error_from_payload(failed, opened.headers, opened.context)
    return payload


def not_json(body: bytes, opened: OpenAnswer | AsyncOpenAnswer, more: str = "") -> KiloCodeError:
    """Name a body that is no answer at all, and show its beginning."""
    preview = opened.context.clean(body[:PREVIEW_BYTES].decode("utf-8", "replace"))[:200].strip()
    kind = opened.headers.get("content-type", "no content type")
    msg = (
        f"The answer from {opened.context.url} is not a JSON object ({kind}, {len(body):,} bytes{more}): {preview!r}. "
        "It may have been cut, or the base URL may lead to something that is not the gateway."
    )
    return opened.context.make(MalformedReplyError, msg, status=opened.status, body=preview)


def read_choices(
    payload: dict[str, Any], opened: OpenAnswer | AsyncOpenAnswer, requested_model: str
) -> list[wire.Completion]:
    """Read the answers that a reply holds.

    Raises:
        MalformedReplyError: If it holds none.

    """
    try:
        answers = wire.read_completions(payload, requested_model)
    except ValueError as exc:
        reason = str(exc)
    else:
        return [with_failures(answer, opened.context) for answer in answers]
    msg = (
        f"The answer from {opened.context.url} has {reason}; its fields are {', '.join(payload) or 'none'}. "
        "Try again, or choose another model."
    )
    raise opened.context.make(MalformedReplyError, msg, status=opened.status, body=payload)


def with_failures(answer: wire.Completion, context: Context) -> wire.Completion:
    """Tell in an answer which models had failed before the one that gave it."""
    if context.failed:
        answer.fallback_model = context.model
        answer.failed_models = list(context.failed)
    return answer
