"""How an object on the gateway is made, changed, copied and pickled: the same checks on each way."""

from __future__ import annotations

import logging
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, ValidationError

from kilocode_gateway import wire
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import hide_secrets
from llama_index_kilocode._link import CLIENTS, LINKING, Link, given_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llama_index_kilocode._link import Linked

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    _Model = BaseModel
else:
    _Model = object


class Checked(_Model):
    """How an object is made, changed, copied and pickled. It stands first among the bases of a class."""

    model_config = ConfigDict(validate_assignment=True)

    _link: Link

    def _read(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give settings as fields and HTTP clients, their names and values checked as far as pydantic does not."""
        raise NotImplementedError

    def _settle(self, make: Callable[..., None], given: dict[str, Any]) -> None:
        """Make the object of its settings.

        Raises:
            ConfigurationError: If one cannot be used.

        """
        given = self._read(given)
        link = Link.take(given)
        hide_secrets(given)
        _validated(type(self).__name__, partial(make, self, **given), given)
        hide_secrets(self.__dict__)  # what pydantic makes of a hidden text is a plain one
        self._link = link
        link.transport(cast("Linked", self))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        changes, value = {name: value}, None
        hide_secrets(changes)
        self._change(changes)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Give a copy with some settings changed, each checked as in the constructor.

        Raises:
            UnknownSettingError: If a name is none of the class's settings.
            ConfigurationError: If a value cannot be used.

        """
        changes, update = dict(update or {}), None
        hide_secrets(changes)
        copied = super().model_copy(deep=deep)
        if changes:
            copied._change(changes)  # noqa: SLF001 - of the same class
        return copied

    def _change(self, given: Mapping[str, Any]) -> None:
        """Change settings: all of them, or none where one cannot be used."""
        changes = self._read(dict(given))
        clients = {name: changes.pop(name) for name in CLIENTS if name in changes}
        changes = wire.with_consequences(changes, self.__dict__)
        if "api_key" in changes:
            changes["api_key"] = given_key({**self.__dict__, **changes})
            hide_secrets(changes)
        before = {name: self.__dict__.get(name) for name in changes}
        try:
            for name, value in changes.items():
                assign = partial(super().__setattr__, name, value)
                _validated(type(self).__name__, assign, changes)
            hide_secrets(self.__dict__)
            if not LINKING.isdisjoint(changes):
                self._link.transport(cast("Linked", self))
        except ConfigurationError:
            self.__dict__.update(before)
            raise
        if clients:
            self._link = self._link.with_clients(clients)

    def __getstate__(self) -> dict[Any, Any]:
        # The framework's own takes what cannot be pickled out of this object as well, and the key first of all: the
        # pickle would pay from whatever account it finds. Here the key stays, so that the pickle fails.
        state = BaseModel.__getstate__(self)
        fields = {name: value for name, value in state["__dict__"].items() if name == "api_key" or _travels(value)}
        if lost := sorted(state["__dict__"].keys() - fields.keys()):
            _log.warning("A pickle of %s leaves out what cannot be pickled: %s", type(self).__name__, ", ".join(lost))
        return {**state, "__dict__": fields}


def _validated(where: str, make: Callable[[], None], given: Mapping[str, Any]) -> None:
    try:
        make()
    except ValidationError as exc:
        wrong = wire.misfits(exc.errors(), given)
    else:
        return
    raise ConfigurationError(f"{where} cannot take these settings: {wrong}.")


def _travels(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - each class has its own reasons
        return False
    return True
