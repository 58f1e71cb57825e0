"""Requests as bytes: what `json.dumps` would write, whatever is long in them, and long media in two copies only."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any

import pytest

from kilocode_gateway.encoding import encoded
from kilocode_gateway.errors import ConfigurationError

LONG = "iVBORw0KGgoA" + "A1+/" * 200_000
SHORT = "data:image/png;base64,iVBORw0KGgoA"
TEXTS = {
    "base64": LONG,
    "a quote at the end of a stretch": "x" * ((1 << 18) - 1) + '"' + "y" * 100,
    "control characters": "a\n\t\x00\x1f\x7f" * 50_000,
    "backslashes": "\\" * 200_000,
    "beyond ASCII": "ä€𝄞\u2028" * 50_000,
    "beyond ASCII, with quotes": '"ä€𝄞"' * 50_000,
    "half a surrogate pair": "x" * 200_000 + "\ud83d",
    "a pair in two halves": "x" * ((1 << 18) - 1) + "\ud83d\ude00",
}
HOLDERS = {
    "image": lambda text: {"type": "image_url", "image_url": {"url": text, "detail": "low"}},
    "plain image": lambda text: {"type": "image_url", "image_url": text},
    "file": lambda text: {"type": "file", "file": {"filename": "a.pdf", "file_data": text}},
    "text": lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}},
    "both": lambda text: {"type": text, "file": {"filename": text, "file_data": text}},
    "deeper": lambda text: {"type": "x", "x": {"y": {"z": [text]}}},
}


def plain(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()


def conversation(*parts: Any) -> dict[str, Any]:
    words = {"type": "text", "text": 'What "is" this?'}
    messages = [
        {"role": "system", "content": LONG},
        {"role": "user", "content": [words, *parts]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": [*parts, words]},
    ]
    return {"model": "a/b", "messages": messages, "temperature": 0.5, "stop": ["ä"]}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_are_those_of_json(text: str, holder: str) -> None:
    body = conversation(HOLDERS[holder](TEXTS[text]), HOLDERS["image"](SHORT))
    before = copy.deepcopy(body)
    assert encoded(body) == plain(body)
    assert body == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "a/b"},
        {"messages": None},
        {"messages": LONG},
        {"messages": [LONG, None, [LONG], {"content": {"text": LONG}}]},
        {"messages": [{"content": []}, {"content": [LONG, None, 5, [LONG], {}]}]},
        {"messages": [{"content": [{5: LONG, None: {5: LONG}}]}]},
        {"input": [LONG, LONG]},
    ],
)
def test_anything_else_is_written_as_well(body: dict[str, Any]) -> None:
    assert encoded(body) == plain(body)


@pytest.mark.parametrize("wrong", [{1, 2}, float("nan"), b"bytes"])
def test_what_json_cannot_hold_is_refused_beside_media(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        encoded(conversation(HOLDERS["image"](LONG), {"type": "text", "text": wrong}))


def test_long_media_are_held_once() -> None:
    media = "A" * 4_000_000
    body = {"model": "a/b", "messages": [{"role": "user", "content": [HOLDERS["image"](media)]}]}
    tracemalloc.start()
    try:
        written = encoded(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(written) > len(media)
    assert peak < 1.5 * len(media)
