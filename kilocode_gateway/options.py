"""How a call is made, beside what it sends: fallback models, time limits of the whole call, routing and cache hints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilocode_gateway.config import header_value
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import hidden_headers
from kilocode_gateway.models import parse_model_ref
from kilocode_gateway.policy import Deadline, seconds_of
from kilocode_gateway.wire import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

MODE_HEADER = "x-kilocode-mode"
TASK_HEADER = "X-KILOCODE-TASKID"
"""The gateway's headers (server source, February and November 2026). It cuts values to 500 characters."""

_OURS = frozenset({"content-type", "content-length", "transfer-encoding", "host"})
"""Headers that tell how a request is written, by lower-case name: never taken from outside."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The settings of one call that are no fields of its request; `wire.OPTIONS` tells what each does."""

    check_inputs: bool = True
    fallback_models: tuple[str, ...] = ()
    first_token_timeout: float | None = None
    total_timeout: float | None = None
    mode: str | None = None
    task_id: str | None = None

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> CallOptions:
        """Take the options out of settings that may hold anything else as well.

        Raises:
            ConfigurationError: If one of them cannot be used.

        """
        return cls(
            check_inputs=_switch(settings.get("check_inputs"), "check_inputs"),
            fallback_models=_models(settings.get("fallback_models")),
            first_token_timeout=seconds_of(settings.get("first_token_timeout"), "first_token_timeout"),
            total_timeout=seconds_of(settings.get("total_timeout"), "total_timeout"),
            mode=_text(settings.get("mode"), "mode"),
            task_id=_text(settings.get("task_id"), "task_id"),
        )

    def deadline(self, *, stream: bool) -> Deadline:
        """Begin to count the time. The first token of an answer that comes whole is the answer."""
        return Deadline(first_token=self.first_token_timeout if stream else None, total=self.total_timeout)

    def headers(self, others: Mapping[str, str]) -> dict[str, str]:
        """Give the headers of a call: the options' own, which win, and the others."""
        own = {MODE_HEADER: self.mode, TASK_HEADER: self.task_id}
        told = {name: value for name, value in own.items() if value is not None}
        names = {name.lower() for name in told}
        return {**{name: value for name, value in others.items() if name.lower() not in names}, **told}


def without_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that are fields of the request."""
    return {name: value for name, value in settings.items() if name not in OPTIONS}


def _switch(given: object, name: str) -> bool:
    if given is None:
        return True
    if not isinstance(given, bool):
        msg = f"{name} must be True or False, got {given!r:.80}."
        raise ConfigurationError(msg)
    return given


def _models(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, (list, tuple)):
        msg = f"fallback_models must be a list of model ids, such as ['openai/gpt-5.4'], got {given!r}."
        raise ConfigurationError(msg)
    for model in given:
        parse_model_ref(model)
    return tuple(given)


def _text(given: object, name: str) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        msg = f"{name} must be a string, got {type(given).__name__}."
        raise ConfigurationError(msg)
    return header_value(given.strip() or None, name)


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give further headers of a request, without those that tell how it is written.

    Raises:
        ConfigurationError: If one cannot be sent.

    """
    # Hidden or gone before anything is raised: a traceback that shows local variables shows no header.
    headers, wrong = hidden_headers(headers)
    if wrong:
        raise ConfigurationError(wrong)
    return {name: value for name, value in headers.items() if name.lower() not in _OURS}
