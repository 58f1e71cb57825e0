"""What the settings take, so that a wrong value is refused in the same words wherever it is given."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Kind(NamedTuple):
    """What values a setting takes."""

    wanted: str
    fits: Callable[[Any], bool]
    shown: bool = True
    """Whether an error may show a value that does not fit: headers and bodies may hold secrets."""


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


_NUMBER = Kind("a number", _number)
_WHOLE = Kind("a whole number", _whole)
_LIMIT = Kind("a whole number from 1", lambda value: _whole(value) and value >= 1)
_SWITCH = Kind("True or False", lambda value: isinstance(value, bool))
_TEXT = Kind("a string", lambda value: isinstance(value, str))
_LIST = Kind("a list", lambda value: isinstance(value, (list, tuple)), shown=False)
_DICT = Kind("a dict", lambda value: isinstance(value, Mapping), shown=False)
_TEXTS = Kind(
    "a string or a list of strings",
    lambda value: (
        isinstance(value, str) or (isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value))
    ),
)

KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        ("frequency_penalty", "min_p", "presence_penalty", "repetition_penalty", "top_a", "top_p"), _NUMBER
    ),
    "temperature": Kind("a number from 0 to 2", lambda value: _number(value) and 0 <= value <= 2),  # noqa: PLR2004
    **dict.fromkeys(("seed", "top_k", "top_logprobs"), _WHOLE),
    **dict.fromkeys(("max_completion_tokens", "max_tokens", "n"), _LIMIT),
    **dict.fromkeys(
        ("enable_thinking", "include_reasoning", "logprobs", "parallel_tool_calls", "reasoning_split", "store"), _SWITCH
    ),
    **dict.fromkeys(("reasoning_effort", "verbosity"), _TEXT),
    **dict.fromkeys(("modalities", "plugins", "tools", "transforms"), _LIST),
    **dict.fromkeys(("audio", "cache_control", "extra_body", "extra_headers", "logit_bias", "metadata"), _DICT),
    **dict.fromkeys(("prediction", "provider", "reasoning", "response_format", "thinking"), _DICT),
    **dict.fromkeys(("stream_options", "web_search_options"), _DICT),
    "stop": _TEXTS,
}
"""What a setting of a call takes beside None; the ranges are the gateway's (its documentation, 2026)."""

OWN_KINDS: dict[str, Kind] = {
    **KINDS,
    "additional_kwargs": _DICT,
    "audio_config": _DICT,
    "default_headers": Kind("a dict of strings", lambda _: False, shown=False),
    "max_retries": Kind("a whole number from 0", lambda value: _whole(value) and value >= 0),
    "model": Kind("the id of a model, such as 'anthropic/claude-sonnet-4.6'", lambda value: isinstance(value, str)),
    "timeout": Kind("a positive number of seconds, a pair (connect, read), an httpx Timeout or None", lambda _: False),
}
"""What the settings of an object take; a value that pydantic refused fits none that says so."""


def check_values(given: Mapping[str, Any], *, where: str) -> None:
    """Refuse a value of a call that the gateway cannot use.

    Raises:
        ConfigurationError: With what was expected, and what came unless it may be a secret. None is always fine.

    """
    for name, value in given.items():
        kind = KINDS.get(name)
        if kind is not None and value is not None and not kind.fits(value):
            msg = f"{where}: {_wrong(name, kind, value)}."
            raise ConfigurationError(msg)


def misfits(errors: Iterable[Mapping[str, Any]], given: Mapping[str, Any]) -> str:
    """Say what is wrong with settings that pydantic refused, each once, and nothing that may be a secret.

    Args:
        errors: What pydantic's error lists; those of one setting may be several, one for each form that it takes.
        given: The settings by name.

    """
    said: dict[str, str] = {}
    for error in errors:
        place = [str(step) for step in error["loc"]]
        name = place[0] if place else "all"
        kind, value = OWN_KINDS.get(name), given.get(name)
        if kind is not None and not kind.fits(value):
            said[name] = _wrong(name, kind, value)
        else:
            came = error["input"]
            got = type(came).__name__ if isinstance(came, str) else _shown(came)
            said.setdefault(name, f"{'.'.join(place) or name}: {error['msg']}, got {got}")
    return "; ".join(said.values())


def _wrong(name: str, kind: Kind, value: object) -> str:
    hint = ". For an effort alone there is reasoning_effort=" if name == "reasoning" else ""
    return f"{name} must be {kind.wanted}, got {_shown(value) if kind.shown else type(value).__name__}{hint}"


def _shown(value: object) -> str:
    return f"{value!r:.80}" if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__
