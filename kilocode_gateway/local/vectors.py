"""Embeddings of the local gateway: hashed bags of words, so that texts with the same words lie near each other."""

from __future__ import annotations

import base64 as b64
import math
import struct
import zlib
from functools import lru_cache
from typing import Any

from kilocode_gateway.local.words import count_tokens, stem, words

_COMMON = 0.2
"""The weight of a word that says little, beside 1."""


def read_input(given: Any) -> list[str]:
    """Read the texts: one, a list of them, or lists of token ids, which stand for themselves; [] for anything else."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        return []
    if all(isinstance(part, int) for part in given):
        return [" ".join(map(str, given))]
    if not all(isinstance(part, (str, list)) for part in given):
        return []
    return [part if isinstance(part, str) else " ".join(map(str, part)) for part in given]


def reply(model: str, texts: list[str], dimension: int, *, base64: bool) -> dict[str, Any]:
    """Give the answer of POST embeddings."""
    data = []
    for index, text in enumerate(texts):
        vector = embed(text, dimension)
        shown: Any = b64.b64encode(struct.pack(f"<{dimension}f", *vector)).decode() if base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": shown})
    tokens = sum(map(count_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "cost": tokens * 0.00000002}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def embed(text: str, dimension: int) -> list[float]:
    """Turn a text into a vector of length 1, the same in every process."""
    from kilocode_gateway.local.words import STOP

    vector = [0.0] * dimension
    for word in words(text) or [text]:
        place, sign = _place(stem(word))
        vector[place % dimension] += sign * (_COMMON if word in STOP else 1.0)
    norm = math.sqrt(sum(value * value for value in vector))
    if not norm:
        vector[_place(text)[0] % dimension] = norm = 1.0
    return [value / norm for value in vector]


@lru_cache(maxsize=65536)
def _place(word: str) -> tuple[int, float]:
    """Give where a word counts, and with which sign; two words that meet in one place cancel as often as they add."""
    number = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return number >> 1, 1.0 if number & 1 else -1.0
