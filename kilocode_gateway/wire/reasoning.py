"""Puts the pieces of a model's reasoning together, so that they can go back to it unchanged.

The gateway passes on three forms: `reasoning_details` (signed or encrypted blocks), `reasoning` and `reasoning_content`
(plain text). The same text may come in several of them at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMS = ("reasoning", "reasoning_content", "reasoning_details")
"""The fields of a delta or a message that carry reasoning."""
_JOINED = ("text", "summary")


def text_of(details: object) -> str:
    """Give the readable text of `reasoning_details`."""
    if not isinstance(details, list):
        return ""
    return "".join(
        text for item in details if isinstance(item, dict) and isinstance(text := item.get(_text_field(item)), str)
    )


def _text_field(item: dict[str, Any]) -> str:
    return "summary" if item.get("type") == "reasoning.summary" else "text"


class ReasoningAssembler:
    """Collects the reasoning of one streamed answer, whatever forms it has."""

    __slots__ = ("_ahead", "_closed", "_content", "_details", "_growing", "_grown", "_item", "_plain", "_shown")

    def __init__(self) -> None:
        self._plain: list[str] = []
        self._content: list[str] = []
        self._shown: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._closed = 0
        """How many of the shown pieces belong to blocks that a signature has closed."""
        self._ahead: dict[str, deque[str]] = {name: deque() for name in _FORMS}
        """By form: what was shown of others and has not come in this one yet."""
        self._growing: list[Callable[[str], None]] = []
        """What takes the text of the next delta, while `add_more` may be called."""
        self._item: dict[str, Any] | None = None
        """The piece of a block that the delta has then, with the text of an earlier one."""
        self._grown: list[str] = []
        """The texts by which the last block has grown since."""

    @property
    def text(self) -> str:
        """The readable text so far, never doubled."""
        return "".join(self._shown)

    @property
    def details(self) -> list[dict[str, Any]]:
        """The blocks so far, each as it would have come in one piece."""
        self._settle()
        return self._details

    def add(self, delta: dict[str, Any]) -> str:
        """Take the reasoning fields of a delta and give the new readable text."""
        self._settle()
        plain, content, details = (delta.get(name) for name in _FORMS)
        came: dict[str, str] = {}
        if isinstance(plain, str) and plain:
            self._plain.append(plain)
            came["reasoning"] = plain
        if isinstance(content, str) and content:
            self._content.append(content)
            came["reasoning_content"] = content
        signed = False
        if isinstance(details, list) and details:
            for item in details:
                if isinstance(item, dict):
                    self._add_detail(item)
            signed = _is_signed(details)
            if text := text_of(details):
                came["reasoning_details"] = text
        shown = self._new(came, signed=signed) if came else ""
        if shown:
            self._shown.append(shown)
        if signed:
            self._closed = len(self._shown)
        return shown

    def rehearse(self, delta: dict[str, Any]) -> tuple[str, int]:
        """Say whether a delta like the one that was added last, with another text, would only make texts longer.

        Returns:
            The text and in how many forms it came, after which `add_more` may be called until `add` is called again;
            an empty text if not.

        """
        details = delta.get("reasoning_details")
        texts: dict[str, Any] = {
            "reasoning": delta.get("reasoning"),
            "reasoning_content": delta.get("reasoning_content"),
        }
        if details:
            texts["reasoning_details"] = text_of(details)
            if not self._continues(details):
                return "", 0
        came = {form: text for form, text in texts.items() if text}
        text: str = next(iter(came.values()), "")
        if any(other != text or self._ahead[form] for form, other in came.items()):
            return "", 0
        if details and "reasoning_details" not in came:
            # The block's own text stays empty, whatever the others say.
            return "", 0
        self._item = dict(details[0]) if details else None
        own = {"reasoning": self._plain, "reasoning_content": self._content, "reasoning_details": self._grown}
        self._growing = [(own if form in came else self._ahead)[form].append for form in _FORMS]
        return text, len(came)

    def add_more(self, text: str) -> list[dict[str, Any]]:
        """Take a delta like the last one with another text, and give its details."""
        self._shown.append(text)
        for grow in self._growing:
            grow(text)
        return [] if self._item is None else [{**self._item, _text_field(self._item): text}]

    def _continues(self, details: Any) -> bool:
        """Say whether details like these would only make the last block's text longer."""
        if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
            return False
        item = details[0]
        texts = [name for name in _JOINED if isinstance(item.get(name), str)]
        return texts == [_text_field(item)] and not item.get("signature") and _same_block(self._details[-1], item)

    def _settle(self) -> None:
        """Put the texts of `add_more` into the block that they continue."""
        if self._grown and self._item is not None:
            self._details[-1][_text_field(self._item)] += "".join(self._grown)
            self._grown.clear()

    def _new(self, came: dict[str, str], *, signed: bool) -> str:
        """Give what is new of a text, in the first of the forms in which it came."""
        first, text = next(iter(came.items()))
        shown = _beyond(self._ahead[first], text)
        if signed and first == "reasoning_details" and text == "".join(self._shown[self._closed :]):
            # Some upstreams repeat a block's whole text at its end, to bring its signature.
            shown = ""
        for name, ahead in self._ahead.items():
            if name != first and shown:
                ahead.append(shown)
            if name != first and name in came:
                _beyond(ahead, came[name])
        return shown

    def replay(self) -> dict[str, Any]:
        """Give the fields that the assistant's message must carry when it goes back."""
        return replay_fields(self.details, "".join(self._content), "".join(self._plain))

    def _add_detail(self, item: dict[str, Any]) -> None:
        # Without an index, nothing but the latest block can be meant.
        candidates = self._details[-1:] if item.get("index") is None else self._details
        last = next((old for old in reversed(candidates) if _same_block(old, item)), None)
        if last is None:
            self._details.append(dict(item))
            return
        for name, value in item.items():
            old = last.get(name)
            if name in _JOINED and isinstance(value, str) and isinstance(old, str):
                closing = item.get("signature") and value == old
                last[name] = old if closing else old + value
            elif value is not None or name not in last:
                last[name] = value


def _beyond(ahead: deque[str], text: str) -> str:
    """Give what of a form's next text was not shown already, and take the rest from what others are ahead of it.

    A text that does not continue the form as the others did is another text, all of it.
    """
    rest = text
    while rest and ahead:
        piece = ahead.popleft()
        if rest.startswith(piece):
            rest = rest[len(piece) :]
        elif piece.startswith(rest):
            ahead.appendleft(piece[len(rest) :])
            return ""
        else:
            ahead.clear()
            return text
    return rest


def _is_signed(details: list[Any]) -> bool:
    return any(isinstance(item, dict) and item.get("signature") for item in details)


def _same_block(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Say whether a piece continues a block: same type, place and id, and nothing in it contradicts."""
    if old.get("type") != new.get("type"):
        return False
    for name in ("index", "id", "format", "signature", "data"):
        mine, theirs = old.get(name), new.get(name)
        if mine is not None and theirs is not None and mine != theirs:
            return False
    if old.get("signature") is not None and any(new.get(name) for name in _JOINED) and new.get("signature") is None:
        # A signature closes its block; text after it begins the next one.
        return False
    if "data" in new:
        return old.get("index") is not None and old.get("index") == new.get("index") and old.get("id") == new.get("id")
    return True


def replay_fields(details: object, content: object, plain: object) -> dict[str, Any]:
    """Choose what of a message's reasoning goes back: the blocks, and the text under the name that it came with.

    Kimi and DeepSeek refuse a tool result whose call has lost its `reasoning_content`; Gemini and Claude want the
    blocks.
    """
    fields: dict[str, Any] = {}
    if isinstance(details, list) and details:
        fields["reasoning_details"] = details
    if isinstance(content, str) and content:
        fields["reasoning_content"] = content
    if not fields and isinstance(plain, str) and plain:
        fields["reasoning"] = plain
    return fields
