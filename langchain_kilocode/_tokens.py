"""Estimates how many tokens messages and tools are, offline: nothing is downloaded, and no link is followed.

The gateway's models have many vocabularies and its list names none, so text is counted by its bytes in UTF-8, four to
a token. That is near for English and for code, about half a token for a Cyrillic letter, and three quarters of one for
a Chinese, Japanese or Korean character, where tokenizers of 2026 need between a half and one and a half.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.messages import convert_to_messages
from langchain_core.messages.utils import count_tokens_approximately

from kilocode_gateway.errors import KiloCodeError
from langchain_kilocode._messages import to_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_core.messages import BaseMessage

_BYTES = 4
"""Bytes of text to a token."""
_AROUND = 3
"""Tokens around each message."""
_PICTURE = 85
"""Tokens of an image, and of whatever is only linked: what langchain-core counts for one."""
_DATA = 100
"""Bytes of a file, a sound or a video to a token: about 1,000 tokens for a PDF page of 100 kB."""

_MEDIA = {"image_url": "url", "file": "file_data", "input_audio": "data", "video_url": "url"}
_REASONING = ("reasoning_details", "reasoning_content", "reasoning")


def token_ids(text: str) -> list[int]:
    """Give a number for each piece of a text that is about a token. They stand for no model's vocabulary."""
    data = text.encode(errors="surrogatepass")
    return [int.from_bytes(data[start : start + _BYTES], "big") for start in range(0, len(data), _BYTES)]


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text."""
    return -(-len(text.encode(errors="surrogatepass")) // _BYTES)


def count(messages: Iterable[Any], tools: Iterable[dict[str, Any]], text_count: Callable[[str], int]) -> int:
    """Estimate the tokens of messages and tools, as they would be sent.

    Args:
        messages: In any form that LangChain takes.
        tools: In the form of the wire.
        text_count: Gives the tokens of a text.

    """
    of_tools = sum(text_count(json.dumps(tool, ensure_ascii=False)) for tool in tools)
    return of_tools + sum(_of_message(message, text_count) for message in convert_to_messages(list(messages)))


def _of_message(message: BaseMessage, text_count: Callable[[str], int]) -> int:
    try:
        wired = to_wire([message])
    except KiloCodeError as exc:
        try:
            # It cannot be sent, and to say so is not the business of who counts.
            return count_tokens_approximately([message])
        except (TypeError, ValueError):
            error = exc
    else:
        return sum(_of_wired(sent, text_count) for sent in wired)
    raise error


def _of_wired(sent: dict[str, Any], text_count: Callable[[str], int]) -> int:
    texts: list[str] = []
    media = _read({name: value for name, value in sent.items() if name not in _REASONING}, texts)
    said: list[list[str]] = [[]]
    for name in _REASONING:
        # The same thoughts may go back in several forms; upstreams read one of them.
        said.append([])
        _read(sent.get(name), said[-1])
    texts += max(said, key=lambda found: sum(map(len, found)))
    return text_count("".join(texts)) + media + _AROUND


def _read(value: object, texts: list[str]) -> int:
    """Collect the texts that a piece of a message holds, and give the tokens of everything else."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list):
        return sum(_read(item, texts) for item in value)
    elif isinstance(value, dict):
        kind = value.get("type")
        if kind in _MEDIA:
            held = value.get(kind)
            return _of_data(kind, held.get(_MEDIA[kind]) if isinstance(held, dict) else held)
        return sum(_read(item, texts) for item in value.values())
    return 0


def _of_data(kind: str, data: object) -> int:
    if kind == "image_url" or not isinstance(data, str) or data.startswith(("http://", "https://")):
        return _PICTURE
    encoded = len(data) - data.find(",") - 1 if data.startswith("data:") else len(data)
    return max(_PICTURE, encoded * 3 // 4 // _DATA)
