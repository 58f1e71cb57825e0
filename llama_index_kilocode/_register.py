"""Makes LlamaIndex know our classes where it loads an LLM or an embedding model from what `to_dict` gave."""

from __future__ import annotations

import importlib
import threading
from importlib import metadata
from typing import Any, NamedTuple

from kilocode_gateway.errors import ConfigurationError
from llama_index_kilocode.embeddings import KiloCodeEmbedding
from llama_index_kilocode.fim import KiloCodeFIM
from llama_index_kilocode.llms import KiloCode

_KNOWN = "0.14.5 to 0.14.25"
"""The versions of llama-index-core whose tables are as expected here (the oldest and the newest were run)."""
_PROBE = "kilocode probe"


class _Place(NamedTuple):
    """Where LlamaIndex looks a class up by its name, and what it shall find."""

    module: str
    table: str
    function: str
    """The function of that module that reads the table."""
    made: tuple[type[Any], ...]


_PLACES = (
    _Place("llama_index.core.llms.loading", "RECOGNIZED_LLMS", "load_llm", (KiloCode, KiloCodeFIM)),
    _Place("llama_index.core.embeddings.loading", "RECOGNIZED_EMBEDDINGS", "load_embed_model", (KiloCodeEmbedding,)),
)
_lock = threading.Lock()


class _Probe:
    """Stands in a table for a moment, to see that it is read."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> type[_Probe]:  # noqa: ARG003 - as the framework calls it
        return cls


def register() -> None:
    """Make LlamaIndex load our classes from their dicts; call it once, before the first is loaded.

    `load_llm(KiloCode(...).to_dict())` and `load_embed_model(KiloCodeEmbedding(...).to_dict())` then give the same
    settings back, without the key, which no dict holds: it comes from `KILOCODE_API_KEY`, or is set afterwards as
    `api_key`. LlamaIndex has no public way for this: its tables name a few classes, so entries are put into them. Doing
    it twice changes nothing, and importing this package never does it. Who wants none of it calls
    `KiloCode.from_dict(...)` instead.

    Raises:
        ConfigurationError: If the tables are not what they were, or hold somebody else's class under one of the names.
            They are left as they were then.

    """
    with _lock:
        tables = [(place, _table_of(place)) for place in _PLACES]
        for place, table in tables:
            _check_free(place, table)
            _check_it_is_read(place, table)
        for place, table in tables:
            table.update({cls.class_name(): cls for cls in place.made})


def _table_of(place: _Place) -> dict[str, Any]:
    try:
        table = getattr(importlib.import_module(place.module), place.table, None)
    except ImportError as exc:
        found = str(exc)
    else:
        if isinstance(table, dict) and table and all(map(_is_entry, table.items())):
            return table
        found = _described(table)
    raise _moved(place, f"a dict of names and classes as {place.module}.{place.table}", found)


def _is_entry(entry: tuple[object, object]) -> bool:
    name, cls = entry
    return isinstance(name, str) and isinstance(cls, type) and callable(getattr(cls, "from_dict", None))


def _described(table: object) -> str:
    if not isinstance(table, dict):
        return f"{'nothing' if table is None else type(table).__name__} there"
    odd = next((f"{name!r}: {cls!r}" for name, cls in table.items() if not _is_entry((name, cls))), "")
    return f"an entry {odd}" if odd else "an empty dict"


def _check_free(place: _Place, table: dict[str, Any]) -> None:
    for cls in place.made:
        there = table.get(cls.class_name(), cls)
        if there is not cls:
            raise ConfigurationError(
                f"LlamaIndex knows {cls.class_name()!r} as {there.__name__} of {there.__module__} already, and not as "
                f"that of {cls.__module__}. Nothing was changed. Call {cls.__name__}.from_dict(...) instead."
            )


def _check_it_is_read(place: _Place, table: dict[str, Any]) -> None:
    """Ask LlamaIndex by its public function: a table that nobody reads any more looks the same."""
    load = getattr(importlib.import_module(place.module), place.function, None)
    table[_PROBE] = _Probe
    try:
        found = load({"class_name": _PROBE}) if callable(load) else "no such function"
    except Exception as exc:  # noqa: BLE001 - whatever it is, the name does not work
        found = f"{type(exc).__name__}: {exc}"
    finally:
        table.pop(_PROBE, None)
    if found is not _Probe:
        raise _moved(place, f"{place.function} to look names up in {place.table}", str(found))


def _moved(place: _Place, expected: str, found: str) -> ConfigurationError:
    found = " ".join(found.split())[:200]
    name = place.made[0].__name__
    return ConfigurationError(
        f"LlamaIndex cannot be taught to load {name}: expected {expected}, found {found}. Installed is "
        f"llama-index-core {_version()}; versions {_KNOWN} are known to work. Nothing was changed. "
        f"Call {name}.from_dict(...) instead."
    )


def _version() -> str:
    try:
        return metadata.version("llama-index-core")
    except metadata.PackageNotFoundError:
        return "of an unknown version"
