"""What a request carries, what belongs to it, and what befalls it: the client and the gateway both know this."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from kilocode_gateway import errors
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

MODEL = "anthropic/claude-sonnet-4.6"
EMBEDDING_MODEL = "openai/text-embedding-3-small"
DIMENSIONS = 8
FAULTY = 0.1
"""The part of the requests to which something happens."""
LONG = 60.0
"""Seconds of silence that nobody waits out, however busy the machine is."""

Kind = Literal["chat", "stream", "embedding"]
STREAM = {"content-type": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class Belongings:
    """What the answer to a marker is, and to no other."""

    text: str
    vector: list[float]
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal

    @property
    def usage(self) -> dict[str, Any]:
        """The same as the gateway tells it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "cost": float(self.cost),
        }


def belongings(marker: str) -> Belongings:
    """Compute what belongs to a marker."""
    digest = hashlib.sha256(marker.encode()).digest()
    words = [f"{hashlib.sha256(digest + bytes([number])).hexdigest()[:9]} é" for number in range(12 + digest[0] % 60)]
    return Belongings(
        " ".join(words),
        [byte / 256 for byte in digest[:DIMENSIONS]],
        10 + digest[1],
        1 + digest[2],
        Decimal(1 + digest[3]) / 1_000_000,
    )


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to a request.

    Args:
        reply: Makes the gateway's reply, or gives None for the whole one.
        ends: The errors in one of which it must end; () for the whole answer.
        kinds: To which kinds of request it can happen.
        hasty: Whether the asker waits a short time only, and once.
        leaves: Whether the asker leaves before the end.
        once: Whether it happens to the first attempt only.
        weight: How often it is drawn.

    """

    reply: Callable[[Kind, Belongings], Reply | None]
    ends: tuple[type[errors.KiloCodeError], ...] = ()
    kinds: tuple[Kind, ...] = ("chat", "stream", "embedding")
    hasty: bool = False
    leaves: bool = False
    once: bool = False
    weight: int = 1


def whole(kind: Kind, given: Belongings, **faults: Any) -> Reply:
    """Answer with what belongs to the request."""
    if kind == "embedding":
        data = [{"object": "embedding", "index": 0, "embedding": given.vector}]
        body = {"object": "list", "model": EMBEDDING_MODEL, "data": data, "usage": given.usage}
        return Reply.raw(200, body, **faults)
    return Reply.text(given.text, usage=given.usage, **faults)


def _half(given: Belongings) -> dict[str, Any]:
    delta = {"role": "assistant", "content": given.text[: len(given.text) // 2]}
    return {"id": "gen-1", "model": MODEL, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def _error_event(kind: Kind, given: Belongings) -> Reply:
    failed = {"error": {"code": 400, "message": "The model refused."}}
    return Reply.chunks([_half(given), failed], done=False) if kind == "stream" else Reply.raw(200, failed)


def _truncated(kind: Kind, given: Belongings) -> Reply:
    data = json.dumps(_half(given), separators=(",", ":"))
    if kind == "stream":
        return Reply.raw(200, f"data: {data}\n\ndata: {data[:50]}\n\n", STREAM)
    return Reply.raw(200, data[:50], {"content-type": "application/json"})


BROKEN = (errors.ConnectionFailedError, errors.MalformedReplyError)
WHOLE = "whole"
FATES: dict[str, Fate] = {
    WHOLE: Fate(whole),
    "dropped": Fate(lambda kind, given: whole(kind, given, drop=True), BROKEN, hasty=True),
    "reset first": Fate(lambda kind, given: whole(kind, given, reset_after=0), BROKEN, hasty=True),
    "reset": Fate(lambda kind, given: whole(kind, given, reset_after=90), BROKEN, hasty=True),
    "cut": Fate(lambda kind, given: whole(kind, given, cut_after=90), BROKEN, hasty=True),
    "ended": Fate(lambda kind, given: whole(kind, given, end_after=90), BROKEN, hasty=True),
    "503": Fate(
        lambda *_: Reply.error("service_unavailable_503", headers={"retry-after-ms": "5"}), (errors.UpstreamError,)
    ),
    "429": Fate(lambda *_: Reply.error("rate_limit_with_retry_after"), (errors.RateLimitError,)),
    "truncated": Fate(_truncated, BROKEN),
    "error event": Fate(_error_event, (errors.InvalidRequestError,), ("chat", "stream")),
    "silence": Fate(lambda kind, given: whole(kind, given, delay=LONG), (errors.TimeoutExceededError,), hasty=True),
    "stall": Fate(
        lambda kind, given: whole(kind, given, stall_after=90, stall=LONG), (errors.TimeoutExceededError,), hasty=True
    ),
    "left": Fate(whole, kinds=("stream",), leaves=True, weight=4),
    "left waiting": Fate(
        lambda kind, given: whole(kind, given, chunk_delay=0.2), kinds=("stream",), leaves=True, weight=4
    ),
    "recovered": Fate(lambda *_: Reply.error("rate_limit_with_retry_after"), once=True),
    "slow": Fate(lambda kind, given: whole(kind, given, delay=0.02, split=50)),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the soak."""

    number: int
    kind: Kind
    fate_name: str
    marker: str

    @property
    def fate(self) -> Fate:
        """What happens to it."""
        return FATES[self.fate_name]

    @property
    def prompt(self) -> str:
        """What is asked."""
        return f"{self.marker} {self.kind} {self.fate_name}"


def draw(number: int, kind: Kind, chance: random.Random) -> Request:
    """Draw the fate of a request; nobody can guess its marker."""
    name = WHOLE
    if chance.random() < FAULTY:
        possible = {name: fate.weight for name, fate in FATES.items() if name != WHOLE and kind in fate.kinds}
        name = chance.choices(list(possible), list(possible.values()))[0]
    return Request(number, kind, name, secrets.token_hex(12))
