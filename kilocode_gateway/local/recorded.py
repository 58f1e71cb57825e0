"""What a client sent, kept for tests to look at, with keys masked wherever it is printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_SECRET_HEADER = re.compile(r"auth|cookie|credential|key|password|secret|token")
"""What stands in the lower-case name of a header that holds a secret."""
_SECRET = re.compile(r"(?i)(bearer\s+)[^\s\"',;]+|\b(sk-|eyJ)[\w.-]{6,}")
_SHOWN = 200
_SHORTEST_KEY = 6


def mask(text: str) -> str:
    """Put asterisks where something in a text looks like a key."""
    return _SECRET.sub(lambda match: f"{match[1] or ''}**********", text)


@dataclass(slots=True, eq=False)
class RecordedRequest:
    """A request as its bytes said it."""

    method: str
    path: str
    """The path without the query."""
    header_pairs: list[tuple[str, str]]
    """The headers in the order and spelling in which they came."""
    body: bytes = b""
    query: str = ""
    headers: dict[str, str] = field(init=False)
    """The headers by lower-case name; of a repeated one the last."""

    def __post_init__(self) -> None:
        self.headers = {name.lower(): value for name, value in self.header_pairs}

    @property
    def json(self) -> Any:
        """The body read as JSON. Raises ValueError when it is none."""
        return json.loads(self.body)

    @property
    def authorization(self) -> str | None:
        """The header as it came, unmasked, or None."""
        return self.headers.get("authorization")

    @property
    def key(self) -> str | None:
        """The bearer token, or None when there is none or it is the word that stands for nobody."""
        scheme, _, token = (self.authorization or "").partition(" ")
        token = token.strip()
        return token if scheme.lower() == "bearer" and token not in ("", "anonymous") else None

    def __repr__(self) -> str:
        headers = {
            name: "**********" if _SECRET_HEADER.search(name) else mask(value) for name, value in self.headers.items()
        }
        body = mask(self.body[:_SHOWN].decode("utf-8", "replace")) + ("..." if len(self.body) > _SHOWN else "")
        if self.key and len(self.key) >= _SHORTEST_KEY:
            body = body.replace(self.key, "**********")
        return f"RecordedRequest({self.method} {mask(self.path)}, headers={headers}, body={body!r})"
