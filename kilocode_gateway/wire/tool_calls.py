"""Puts streamed tool calls together, however the upstream numbers and repeats their pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilocode_gateway.wire.values import as_dict, as_str

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class ToolCall:
    """A tool call that is complete."""

    id: str
    name: str
    arguments: str
    """The arguments as the model wrote them: JSON text, possibly `""`, possibly not JSON at all."""
    extra: dict[str, Any]
    """What else the upstream sent with it, such as a thought signature. It goes back with the call."""

    def as_message_part(self) -> dict[str, Any]:
        """Give the call as it stands in an assistant's message."""
        return {
            **self.extra,
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call."""

    index: int
    """Which call of the answer it belongs to, from 0, in the order of their beginning."""
    id: str | None
    """The call's id, in its first piece only."""
    name: str | None
    """The tool's name, in the call's first piece with a name only."""
    arguments: str
    """The next characters of the arguments."""


_KNOWN = frozenset({"index", "id", "type", "function"})


class ToolCallAssembler:
    """Collects the tool calls of one streamed answer.

    Upstreams leave out `index`, give it as a string, give every call the index 0, or repeat the id and the name in each
    piece. A new id begins a new call; else the piece belongs to the latest call at its index, or to the latest call.
    """

    __slots__ = ("_arguments", "_at", "_by_id", "calls", "reply_id")

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.reply_id = ""
        self._arguments: list[list[str]] = []
        self._at: dict[object, int] = {}
        self._by_id: dict[str, int] = {}

    def add(self, pieces: object) -> list[ToolCallDelta]:
        """Take a delta's `tool_calls` and give them in one clear form: one piece for each call."""
        found: list[ToolCallDelta] = []
        for piece in pieces if isinstance(pieces, list) else ():
            delta = self._add(piece) if isinstance(piece, dict) else None
            if delta is not None:
                found.append(delta)
        return joined(found) if len(found) > 1 else found

    def finish(self) -> list[ToolCall]:
        """Give the complete calls."""
        for call, parts in zip(self.calls, self._arguments, strict=True):
            call.arguments = "".join(parts)
        return self.calls

    def _add(self, piece: dict[str, Any]) -> ToolCallDelta | None:
        function = as_dict(piece.get("function"))
        id_, name = as_str(piece.get("id")) or None, as_str(function.get("name")) or None
        arguments = arguments_text(function.get("arguments"))
        slot = self._slot(piece.get("index"), id_, name, arguments)
        new = slot == len(self.calls)
        if new:
            self.calls.append(ToolCall(id=id_ or f"call_{self.reply_id}{slot}", name="", arguments="", extra={}))
            self._arguments.append([])
        call = self.calls[slot]
        if id_ is not None:
            self._by_id[id_] = slot
        if piece.get("index") is not None:
            self._at[_key(piece["index"])] = slot
        call.extra.update({key: value for key, value in piece.items() if key not in _KNOWN and value is not None})
        if arguments:
            self._arguments[slot].append(arguments)
        first_name = name if name is not None and not call.name else None
        if first_name is not None:
            call.name = first_name
        if not new and first_name is None and not arguments:
            return None
        return ToolCallDelta(slot, call.id if new else None, first_name, arguments)

    def _slot(self, index: object, id_: str | None, name: str | None, arguments: str) -> int:
        new = len(self.calls)
        at = self._at.get(_key(index)) if index is not None else None
        if id_ is not None:
            if id_ in self._by_id:
                return self._by_id[id_]
            # A piece may bring its id late; a call that has an id of its own is another one.
            return new if at is None or at in self._by_id.values() else at
        if at is None:
            at = new if index is not None else max(new - 1, 0)
        if at < new and name is not None and self._begins_another(at, name, arguments):
            return new
        return at

    def _begins_another(self, slot: int, name: str, arguments: str) -> bool:
        """Say whether a piece without an id that names a tool is the next call, and no repeated name of this one."""
        call = self.calls[slot]
        if call.name and call.name != name:
            return True
        if not call.name or not arguments:
            return False
        try:
            return isinstance(json.loads("".join(self._arguments[slot])), dict)
        except (ValueError, RecursionError):
            return False


def joined(pieces: Iterable[ToolCallDelta]) -> list[ToolCallDelta]:
    """Give one piece for each call, in the order in which the calls come first.

    LangChain takes two pieces of one message for two calls.
    """
    found: dict[int, list[ToolCallDelta]] = {}
    for piece in pieces:
        found.setdefault(piece.index, []).append(piece)
    return [same[0] if len(same) == 1 else _joined(same) for same in found.values()]


def _joined(same: list[ToolCallDelta]) -> ToolCallDelta:
    name = next((piece.name for piece in same if piece.name), None)
    return ToolCallDelta(same[0].index, same[0].id, name, "".join(piece.arguments for piece in same))


def _key(index: object) -> object:
    return str(index)


def arguments_text(arguments: object) -> str:
    """Give a call's arguments as text; some upstreams send the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def read_tool_calls(message: dict[str, Any], reply_id: str) -> list[ToolCall]:
    """Read the tool calls of a whole message."""
    raw = message.get("tool_calls")
    if not raw and isinstance(message.get("function_call"), dict):
        raw = [{"function": message["function_call"]}]
    calls = []
    for position, item in enumerate(raw if isinstance(raw, list) else []):
        if not isinstance(item, dict):
            continue
        function = as_dict(item.get("function"))
        extra = {key: value for key, value in item.items() if key not in _KNOWN and value is not None}
        calls.append(
            ToolCall(
                id=as_str(item.get("id")) or f"call_{reply_id}{position}",
                name=as_str(function.get("name")),
                arguments=arguments_text(function.get("arguments")),
                extra=extra,
            )
        )
    return calls
