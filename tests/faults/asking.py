"""What is asked, in one form for every asker: how, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

KEY = "canary-7f3a-key"
MODEL = "anthropic/claude-sonnet-4.6"
TEXT = "Grüße 你好 \U0001f600, one two."
REASONING = "First this."
ARGUMENTS = {"city": "Zürich", "unit": "°C"}
CALL = {"name": "weather", "id": "call_1", "arguments": json.dumps(ARGUMENTS)}
INPUTS = ["one", "zwei", "三"]


@dataclass(slots=True)
class Heard:
    """What an asker was given before it ended, and the whole answer if there was one."""

    whole: Any = None
    pieces: list[str] = field(default_factory=list)
    """The text of each piece of a stream, also of one that broke."""
    warnings: int = 0
    """How many warnings were logged, where a failure is no error."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to ask: where, how patiently, and with whose HTTP library."""

    base_url: str
    clients: tuple[Any, Any]
    """A sync and an async client, or None twice for the shared ones."""
    timeout: Any = 20.0
    max_retries: int = 1
    model: str = MODEL
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """One way to ask.

    Args:
        name: What the table calls it.
        ask: Asks once, and puts what comes into a `Heard`.
        expected: What the whole answer to `reply` is.
        reply: Makes the answer, with faults.
        path: The path that it asks.

    """

    name: str
    ask: Callable[[Settings, Heard], Coroutine[Any, Any, None]]
    expected: Any
    reply: Callable[..., Reply]
    path: str = "chat/completions"
    streams: bool = False
    raises: bool = True
    """Whether a failure is an error; else it is a warning in the log and an older list."""


def rich(**faults: Any) -> Reply:
    """Answer with everything that an answer can have."""
    return Reply.text(TEXT, reasoning=REASONING, tool_calls=[CALL], **faults)


ANSWER = (TEXT, REASONING, [("call_1", "weather", ARGUMENTS)])
