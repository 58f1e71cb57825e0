"""Asks for the text between two texts: what `POST /api/fim/completions` takes, and the limits that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_TOKENS = 1000
"""The gateway answers 503, as if it were overloaded, to more than these and to none at all (server source, 2026)."""

USUAL_MODEL = "mistralai/codestral-2508"
"""The model that every gateway takes; the newest has `inception/mercury-edit-2` as well (server sources, 2026)."""

USUAL_TOKENS = 256
"""What is asked for unless the user says otherwise: about thirty lines of code, a quarter of what is allowed."""


def fim_body(model: str, prompt: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the request for what stands between `prompt` and the `suffix` among the settings.

    Args:
        model: The model, in any reference form.
        prompt: The text before the gap.
        settings: `suffix`, `max_tokens`, `min_tokens`, `temperature`, `stop`; None leaves one out.

    Raises:
        ConfigurationError: If one of them cannot be sent.

    """
    check_prompt(prompt)
    check_fim(settings)
    given = {name: value for name, value in settings.items() if value is not None}
    stop = given.pop("stop", None)
    if stop:
        # The gateway takes a list only (server source, 2026).
        given["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return {"model": model, "prompt": prompt, "max_tokens": USUAL_TOKENS, **given}


def check_prompt(prompt: object) -> None:
    """Refuse what is no text to stand before a gap.

    Raises:
        ConfigurationError: If it is something else, None as well.

    """
    if not isinstance(prompt, str):
        msg = f"prompt must be a text, got {prompt!r:.80}."
        raise ConfigurationError(msg)


def check_fim(settings: Mapping[str, Any]) -> None:
    """Refuse what the gateway would refuse, most of it with an answer that does not say why.

    Raises:
        ConfigurationError: If a value is of a wrong type or outside its limits. None is always fine.

    """
    for name, value in settings.items():
        wanted = None if value is None else _wrong(name, value)
        if wanted:
            msg = f"{name} must be {wanted}, got {value!r:.80}."
            raise ConfigurationError(msg)


def _wrong(name: str, value: object) -> str:
    """Say what a value should be, or nothing when it is that."""
    if name == "suffix":
        return "" if isinstance(value, str) else "a text"
    if name == "max_tokens":
        fine = type(value) is int and 1 <= value <= MOST_TOKENS
        return "" if fine else f"a whole number from 1 to {MOST_TOKENS}, which is the most that the gateway allows"
    if name == "min_tokens":
        return "" if type(value) is int and value >= 0 else "a whole number from 0"
    if name == "temperature":
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if name == "stop":
        texts = isinstance(value, list | tuple) and all(isinstance(text, str) and text for text in value)
        return "" if isinstance(value, str) or texts else "a text or a list of texts"
    return ""
