"""Makes LangChain know the name `kilocode` wherever it takes a model's name."""

from __future__ import annotations

import importlib
import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from kilocode_gateway.errors import ConfigurationError
from langchain_kilocode._replies import PROVIDER
from langchain_kilocode.chat_models import ChatKiloCode
from langchain_kilocode.embeddings import KiloCodeEmbeddings

if TYPE_CHECKING:
    from collections.abc import Callable

_KNOWN = "1.4.0 to 1.5.2"
"""The versions of langchain whose tables are as expected here (read in their wheels)."""
_TABLE = "_BUILTIN_PROVIDERS"
_PROBE = "vendor/model:free"


class _Place(NamedTuple):
    """Where LangChain looks a provider up, and what it shall find."""

    module: str
    function: str
    """The function of that module that reads the table."""
    made: type

    @property
    def table(self) -> str:
        return f"{self.module}.{_TABLE}"

    @property
    def entry(self) -> tuple[str, str, Callable[..., Any]]:
        return ("langchain_kilocode", self.made.__name__, _make)


_PLACES = (
    _Place("langchain.chat_models.base", "init_chat_model", ChatKiloCode),
    _Place("langchain.embeddings.base", "init_embeddings", KiloCodeEmbeddings),
)
_lock = threading.Lock()


def register() -> None:
    """Make LangChain know `kilocode:` before a model's name; call it once, before the first such name is used.

    `init_chat_model("kilocode:kilo/auto")`, `init_embeddings("kilocode:openai/text-embedding-3-small")`,
    `create_agent("kilocode:...")` and every middleware that takes a model's name then make our classes. LangChain has
    no public way for this: its tables of providers are closed, so an entry is put into them. Doing it twice changes
    nothing, and importing this package never does it. Who wants none of it passes `ChatKiloCode(model=...)` instead.

    Raises:
        ImportError: If `langchain` is not installed; `langchain_kilocode` itself does not need it.
        ConfigurationError: If its tables are not what they were, or hold somebody else's `kilocode`. They are left as
            they were then.

    """
    with _lock:
        tables = [(place, _table_of(place)) for place in _PLACES]
        added = [(place, table) for place, table in tables if PROVIDER not in table]
        for place, table in tables:
            _check_free(place, table)
        try:
            for place, table in added:
                table[PROVIDER] = place.entry
                _check_it_works(place)
        except BaseException:
            for _, table in added:
                table.pop(PROVIDER, None)
            raise


def _make(cls: type, *, _only_tell: bool = False, **settings: Any) -> Any:
    """Make a model as LangChain asks for it, or only tell what would be made."""
    return (cls, settings) if _only_tell else cls(**settings)


def _table_of(place: _Place) -> dict[str, Any]:
    try:
        module = importlib.import_module(place.module)
    except ImportError as exc:
        missing, reason = exc.name == "langchain", str(exc)
    else:
        table = getattr(module, _TABLE, None)
        if isinstance(table, dict) and table and all(map(_is_entry, table.values())):
            return table
        missing, reason = False, _described(table)
    if missing:
        raise ImportError(
            "register() needs langchain, which is missing: run pip install 'langchain>=1.4'. langchain_kilocode works "
            "without it: make the model yourself with ChatKiloCode(model=...).",
            name="langchain",
        )
    raise _moved(place, f"a dict of (module, class, function) named {place.table}", reason)


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, tuple) or len(entry) != 3:  # noqa: PLR2004 - module, class, function
        return False
    module, name, make = entry
    return isinstance(module, str) and isinstance(name, str) and callable(make)


def _described(table: object) -> str:
    if not isinstance(table, dict):
        return f"{'nothing' if table is None else type(table).__name__} there"
    odd = next((f"{name!r}: {entry!r}" for name, entry in table.items() if not _is_entry(entry)), "")
    return f"an entry {odd}" if odd else "an empty dict"


def _check_free(place: _Place, table: dict[str, Any]) -> None:
    module, name, _ = table.get(PROVIDER, place.entry)
    if (module.partition(".")[0], name) == place.entry[:2]:
        return
    raise ConfigurationError(
        f"LangChain knows {PROVIDER!r} as {name} of {module} already, and not as {place.made.__name__} of "
        f"langchain_kilocode. Nothing was changed. Pass an instance instead: {place.made.__name__}(model=...)."
    )


def _check_it_works(place: _Place) -> None:
    """Ask LangChain by its public function what it would make: a table that nobody reads any more looks the same."""
    expected = f"{place.function} to make a {place.made.__name__} of the model {_PROBE!r}"
    ask = getattr(importlib.import_module(place.module), place.function, None)
    try:
        made = ask(f"{PROVIDER}:{_PROBE}", _only_tell=True) if callable(ask) else "no such function"
    except Exception as exc:  # noqa: BLE001 - whatever it is, the name does not work
        made = f"{type(exc).__name__}: {exc}"
    if made != (place.made, {"model": _PROBE}):
        raise _moved(place, expected, str(made))


def _moved(place: _Place, expected: str, found: str) -> ConfigurationError:
    found = " ".join(found.split())[:200]
    return ConfigurationError(
        f"LangChain cannot be taught the name {PROVIDER!r}: expected {expected}, found {found}. Installed is langchain "
        f"{_version()}; versions {_KNOWN} are known to work. Nothing was changed. Pass an instance instead of a name: "
        f"{place.made.__name__}(model=...)."
    )


def _version() -> str:
    try:
        return metadata.version("langchain")
    except metadata.PackageNotFoundError:
        return "of an unknown version"
