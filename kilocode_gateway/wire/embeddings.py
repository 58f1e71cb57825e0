"""Asks for embeddings and reads them: one vector for each text, in the texts' order."""

from __future__ import annotations

import array
import base64
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def embeddings_body(model: str, texts: list[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the request for the vectors of some texts.

    Texts go as strings and numbers come as floats: token ids and base64, which OpenAI's client prefers, are not known
    to every provider behind the gateway.

    Args:
        model: The model, as the user wrote it.
        texts: The texts.
        settings: Further fields of the request, such as `dimensions`; None leaves one out.

    """
    given = {name: value for name, value in settings.items() if value is not None}
    return {"model": model, "input": texts, "encoding_format": "float", **given}


def read_vectors(reply: dict[str, Any], count: int) -> list[list[float]]:
    """Give the vectors in the order of the texts, whatever the order in which they came.

    Args:
        reply: The gateway's answer.
        count: How many texts were sent.

    Raises:
        ValueError: If there is not one vector for each text; its message says what came.

    """
    rows = reply.get("data")
    found: dict[float, list[float]] = {}
    for place, row in enumerate(rows if isinstance(rows, list) else []):
        if not isinstance(row, dict):
            continue
        index, vector = row.get("index"), _vector(row.get("embedding"))
        if vector and (index is None or isinstance(index, int | float)):
            found[place if index is None else index] = vector
    if set(found) != set(range(count)):
        fields = ", ".join(reply) or "none"
        raise ValueError(f"{len(found)} vectors that can be used for {count} texts; its fields are {fields}")
    return [found[index] for index in range(count)]


def _vector(embedding: object) -> list[float] | None:
    if isinstance(embedding, list):
        return embedding
    if not isinstance(embedding, str):
        return None
    try:
        numbers = array.array("f", base64.b64decode(embedding, validate=True))
    except ValueError:
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
