"""Writes a request down as JSON; the media in it, which may be most of it, with one copy: the one that is sent."""

from __future__ import annotations

import io
import json
import uuid
from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONG = 100_000
"""How many characters of a text in a part are worth writing it by itself."""
_STRETCH = 1 << 18
"""How many of them are written at a time."""
_ESCAPED = bytes(range(32)) + b'"\\'
"""What stands otherwise in JSON than in the text."""
_STAND_IN = uuid.uuid4().hex
"""What stands for such a text in the JSON around it; no text can hold it by chance."""


def encoded(body: Mapping[str, Any]) -> bytes:
    """Give a request's bytes.

    Raises:
        ConfigurationError: If it holds what JSON cannot.

    """
    try:
        return _written(body)
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        reason = str(exc)
    msg = (
        f"The request cannot be written as JSON: {reason}. Settings and messages must hold text, finite numbers, lists "
        "and dicts only."
    )
    raise ConfigurationError(msg)


def _written(body: Mapping[str, Any]) -> bytes:
    media: list[str] = []
    lean = _without_media(body, media)
    around = json.dumps(lean, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not media:
        return around.encode()
    first, *others = around.split(_STAND_IN)
    out = io.BytesIO()
    out.write(first.encode())
    for text, after in zip(media, others, strict=True):
        for start in range(0, len(text), _STRETCH):
            out.write(_in_quotes(text[start : start + _STRETCH]))
        out.write(after.encode())
    return out.getvalue()


def _in_quotes(text: str) -> bytes:
    """Give a text as it stands between the quotes."""
    plain = text.encode()
    if len(plain.translate(None, _ESCAPED)) == len(plain):
        return plain
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()


def _without_media(body: Mapping[str, Any], media: list[str]) -> Mapping[str, Any]:
    """Give the request with something short for each long text in its parts, in the order in which these are listed."""
    messages = body.get("messages") if type(body) is dict else None
    if type(messages) is not list:
        return body
    lean = [
        {**message, "content": [_lean(part, media) for part in content]}
        if type(message) is dict and type(content := message.get("content")) is list
        else message
        for message in messages
    ]
    return {**body, "messages": lean} if media else body


def _lean(part: Any, media: list[str]) -> Any:
    if type(part) is not dict:
        return part
    return {
        name: {key: _short(inner, media) for key, inner in value.items()}
        if type(value) is dict
        else _short(value, media)
        for name, value in part.items()
    }


def _short(value: Any, media: list[str]) -> Any:
    if type(value) is str and len(value) > _LONG:
        media.append(value)
        return _STAND_IN
    return value
