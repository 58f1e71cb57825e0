"""A list of models as a mapping: looked up by any form of their names, filtered, sorted and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from kilocode_gateway import bundled, cache, tables
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.models import SUCCESSORS, ModelInfo, parse_model_ref

if TYPE_CHECKING:
    from kilocode_gateway.known_models import KnownModel
    from kilocode_gateway.tables import Order

Source = Literal["gateway", "cache", "stale cache", "bundled"]
Row = Mapping[str, Any] | str | bytes
T = TypeVar("T")

_ROWS_SHOWN = 30
_BUNDLED_NAMES = {entry["id"]: entry["name"] for entry in bundled.ENTRIES}


class UnknownModelError(ConfigurationError, KeyError):
    """The catalog has no such model. `details["nearest"]` lists similar ids."""


class ModelMap(Mapping[str, ModelInfo]):
    """Models by id: those that a gateway listed, then those of the bundled fallback that it did not list.

    An entry becomes a `ModelInfo` when it is first asked for.

    Args:
        entries: For each id its entry of `/models`, as an object or as its JSON.
        source: Where they come from.
        fetched: When they were fetched, in seconds since 1970.
        skipped: How many malformed entries are not among them.

    """

    def __init__(
        self, entries: Mapping[str, Row], *, source: Source, fetched: float | None = None, skipped: int = 0
    ) -> None:
        self.source: Source = source
        """Where the list comes from: the gateway just now, the disk, the disk though it is too old, or the package."""
        self.skipped = skipped
        """How many entries of the gateway's list could not be read."""
        self.fetched = fetched
        """When the list was fetched, in seconds since 1970; None for the bundled one."""
        self._listed = entries
        self._filled: dict[str, Row] = {entry["id"]: entry for entry in bundled.ENTRIES if entry["id"] not in entries}
        self._infos: dict[str, ModelInfo] = {}

    @property
    def age(self) -> float | None:
        """Seconds since the list was fetched; None for the bundled one."""
        return None if self.fetched is None else max(0.0, cache.now() - self.fetched)

    def is_discovered(self, id_: KnownModel | str) -> bool:
        """Say whether the gateway itself listed this very id."""
        return id_ in self._listed

    def __getitem__(self, reference: KnownModel | str) -> ModelInfo:
        id_ = self._id(reference)
        if id_ is not None:
            return self._info(id_)
        near = self.nearest(reference)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "`list(catalog)` gives the ids."
        msg = f"The catalog (source: {self.source}) has no model {reference!r}. {hint}"
        raise UnknownModelError(msg, nearest=near)

    @overload
    def get(self, reference: KnownModel | str, /) -> ModelInfo | None: ...
    @overload
    def get(self, reference: KnownModel | str, default: ModelInfo | T, /) -> ModelInfo | T: ...
    def get(self, reference: KnownModel | str, default: object = None, /) -> object:
        """Give a model, or the default where there is none; without looking for similar names, which takes longer."""
        id_ = self._id(reference)
        return default if id_ is None else self._info(id_)

    def __iter__(self) -> Iterator[str]:
        yield from self._listed
        yield from self._filled

    def __len__(self) -> int:
        return len(self._listed) + len(self._filled)

    def __contains__(self, reference: object) -> bool:
        return self._id(reference) is not None

    def _id(self, reference: object) -> str | None:
        """Give the id that a reference stands for, where this catalog can say something of it."""
        if isinstance(reference, str) and self._holds(reference):
            # An id that looks like another client's name of a model.
            return reference
        try:
            id_ = parse_model_ref(reference)  # type: ignore[arg-type]  # anything else is refused there
        except ConfigurationError:
            return None
        return id_ if self._holds(id_) or self._holds(SUCCESSORS.get(id_)) else None

    def _holds(self, id_: str | None) -> bool:
        return id_ in self._listed or id_ in self._filled

    def _info(self, id_: str) -> ModelInfo:
        info = self._infos.get(id_)
        if info is None:
            # Two threads may do this at once: they make equal objects, and one of them stays.
            info = self._infos[id_] = self._make(id_)
        return info

    def _make(self, id_: str) -> ModelInfo:
        successor = SUCCESSORS.get(id_)
        if successor is not None and id_ not in self._listed and (successor in self._listed or id_ not in self._filled):
            info = self._info(successor)
            return replace(info, id=id_, name=_BUNDLED_NAMES.get(id_, info.name))
        row = self._listed.get(id_)
        return ModelInfo.from_entry(_entry_of(self._filled[id_] if row is None else row, id_))

    def find(
        self,
        text: str | None = None,
        *,
        vision: bool | None = None,
        pdf: bool | None = None,
        audio: bool | None = None,
        video: bool | None = None,
        tools: bool | None = None,
        reasoning: bool | None = None,
        structured_output: bool | None = None,
        free: bool | None = None,
        min_context: int | None = None,
        sort: Order | None = None,
    ) -> list[ModelInfo]:
        """Give the models that meet every condition.

        Args:
            text: Words that all stand in the id, the name or the description, in any case of letters.
            vision: Whether images go in. For this and those below, True asks for it, False for its absence, and None
                does not care.
            pdf: Whether PDF files go in.
            audio: Whether audio goes in.
            video: Whether video goes in.
            tools: Whether it calls tools.
            reasoning: Whether it reasons.
            structured_output: Whether answers can be held to a JSON schema.
            free: Whether it is free.
            min_context: The least context window, in tokens.
            sort: `price` (cheapest first, unknown last), `context` (largest first) or `name`; else the gateway's order.

        Raises:
            ConfigurationError: If there is no such order.

        """
        if sort is not None and sort not in tables.ORDERS:
            msg = f"Models can be sorted by {', '.join(map(repr, tables.ORDERS))}, got {sort!r}."
            raise ConfigurationError(msg)
        words = text.casefold().split() if text else []
        asked = {
            "supports_vision": vision,
            "supports_pdf": pdf,
            "supports_audio": audio,
            "supports_video": video,
            "supports_tools": tools,
            "supports_reasoning": reasoning,
            "supports_structured_output": structured_output,
            "is_free": free,
        }
        wanted = [(name, bool(value)) for name, value in asked.items() if value is not None]
        found = [
            info
            for info in self.values()
            if all(getattr(info, name) == value for name, value in wanted)
            and (min_context is None or (info.context_window or 0) >= min_context)
            and (not words or _has_words(info, words))
        ]
        return found if sort is None else sorted(found, key=tables.ORDERS[sort])

    def nearest(self, reference: KnownModel | str, n: int = 3) -> list[str]:
        """Give the ids that look most like a reference, best first, else those that hold its words; never itself."""
        try:
            wanted = parse_model_ref(reference)
        except ConfigurationError:
            return []
        return tables.nearest(wanted, (id_ for id_ in self if id_ != reference), n)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Give every model as plain JSON, for a table or a data frame."""
        return [info.to_dict() for info in self.values()]

    def __repr__(self) -> str:
        age = "" if self.age is None else f", age={self.age / 60:.0f} min"
        return f"{type(self).__name__}({len(self)} models, source={self.source!r}{age})"

    def _repr_html_(self) -> str:
        shown = [self[id_] for id_ in list(self)[:_ROWS_SHOWN]]
        return tables.to_html(shown, len(self) - len(shown), repr(self))

    def as_stale(self) -> Self:
        """Give the same list, marked as too old."""
        return type(self)(self._listed, source="stale cache", fetched=self.fetched, skipped=self.skipped)


def _entry_of(row: Row, id_: str) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    try:
        entry = json.loads(row)
    except (ValueError, RecursionError):
        entry = None
    # A line of the cache that is no entry was written by somebody else; the id is all that is known then.
    return {**entry, "id": id_} if isinstance(entry, dict) else {"id": id_}


def _has_words(info: ModelInfo, words: list[str]) -> bool:
    text = f"{info.id} {info.name} {info.description}".casefold()
    return all(word in text for word in words)
