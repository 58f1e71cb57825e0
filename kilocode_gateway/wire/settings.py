"""The names of the request fields that the gateway knows, and how settings from several places become one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import UnknownSettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PARAMETERS: dict[str, str] = {
    "audio": "Voice and format of a spoken answer, for models with audio output.",
    "cache_control": "Asks for automatic prompt caching, for providers that offer it.",
    "frequency_penalty": "From -2 to 2: makes repeated words less likely.",
    "include_reasoning": "An older form of `reasoning`: whether reasoning comes back.",
    "logit_bias": "Token id to a number from -100 to 100.",
    "logprobs": "Whether the tokens' log probabilities come back.",
    "max_completion_tokens": "Another name for `max_tokens`, under which it is sent.",
    "max_tokens": "The most tokens that the answer may have.",
    "metadata": "Labels that the provider stores with the request.",
    "min_p": "From 0 to 1: the least probability of a token, relative to the likeliest.",
    "modalities": "What comes out: text, image, audio.",
    "n": "How many answers.",
    "parallel_tool_calls": "Whether several tools may be called at once.",
    "plugins": "The upstream router's plugins, such as web search or a PDF reader.",
    "prediction": "The expected answer, to speed up small changes.",
    "presence_penalty": "From -2 to 2: makes words that occurred less likely.",
    "prompt_cache_key": "Keeps requests with the same beginning together.",
    "prompt_cache_retention": "How long a cached beginning is kept.",
    "provider": (
        "Which providers may serve the request: order, only, ignore, sort, data_collection, zdr, require_parameters."
    ),
    "reasoning": "How much the model thinks: effort, max_tokens, exclude, enabled. Sent as it is.",
    "reasoning_effort": "OpenAI's form of `reasoning`: sent as `reasoning: {effort}`, unless that says how much.",
    "reasoning_split": "MiniMax: whether reasoning comes apart from the answer.",
    "repetition_penalty": "From 0 to 2: makes repeated words less likely.",
    "response_format": "The form of the answer: json_object or json_schema.",
    "route": "The upstream router's routing mode.",
    "safety_identifier": "Overwritten by the gateway.",
    "seed": "Makes the answer repeatable where the provider can.",
    "service_tier": "The provider's service class.",
    "stop": "Texts that end the answer. A single one becomes a list.",
    "store": "Whether the provider stores the answer.",
    "stream": "Whether the answer comes as a stream.",
    "stream_options": "Options of a stream; `include_usage` is always true.",
    "temperature": "From 0 to 2: how freely the next token is chosen.",
    "thinking": "The switch of some providers' thinking: {type}.",
    "enable_thinking": "The switch of some providers' thinking.",
    "tool_choice": "Which tool is called: auto, none, required, or one by name.",
    "tools": "The tools that the model may call.",
    "top_a": "From 0 to 1: drops tokens far less likely than the likeliest.",
    "top_k": "How many tokens are considered at each step.",
    "top_logprobs": "How many alternatives come back per token.",
    "top_p": "From 0 to 1: the share of probability that is considered.",
    "transforms": "The upstream router's prompt transforms, such as middle-out.",
    "user": "Overwritten by the gateway with its own hash.",
    "verbosity": "How long the answer is: low, medium, high.",
    "web_search_options": "Options of a model's own web search.",
}
"""Request fields of `chat/completions` and what each does (gateway documentation and server source, 2026)."""

OPTIONS: dict[str, str] = {
    "check_inputs": (
        "Whether a request with images, audio or video is refused before it is sent where the model, by the gateway's "
        "list, takes none. Such a request has the list fetched, where nothing at hand knows the model. True unless set."
    ),
    "fallback_models": (
        "Models to ask, in this order, when the one before fails: the provider behind it, an overload, a retired "
        "model. Only before the first token."
    ),
    "first_token_timeout": (
        "Seconds until something of a streamed answer must be here, counted from the call, retries and waits included."
    ),
    "mode": "What the request is for, such as plan, ask, code or debug: a hint for kilo-auto/frontier.",
    "task_id": "The conversation's name: requests with the same one share the prompt cache.",
    "total_timeout": "Seconds until the answer must be complete, counted from the call, retries and waits included.",
}
"""Settings of a call that are no fields of its request, and what each does."""

NAMES = {**PARAMETERS, **OPTIONS}
"""Everything that a call takes by name."""

_REFUSED: dict[str, str] = {
    "models": (
        "the gateway deletes OpenRouter's `models` list without a word, so the fallback that it promises would not "
        "be there. Give fallback_models=[...]: the next model is then asked from here"
    ),
    "functions": "it is OpenAI's form of old, which most providers do not know. Give tools=[...]",
    "function_call": "it is OpenAI's form of old, which most providers do not know. Give tool_choice=...",
    "messages": "they are what a call is made with: give them to the call itself",
    "providerOptions": "the gateway answers 400 to `providerOptions`. Use `provider`",
}
"""Names that look right and do harm, with what to do instead (server source, February and November 2026)."""


_SURELY_MEANT = 0.75
"""How much alike two names must be, from 0 to 1: below it `functions` looks like `truncation`."""


def check_names(given: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """Refuse a setting that nothing knows.

    Args:
        given: The names that came.
        known: Further names that are fine there, beside `NAMES`.
        where: What they were given to, as the message calls it: `ChatKiloCode`.

    Raises:
        UnknownSettingError: With the nearest known name, or else how to send a field that only the gateway knows.

    """
    unknown = [name for name in given if name not in NAMES]
    if not unknown:
        return
    others = set(known)
    for name in unknown:
        if name not in others:
            raise unknown_setting(name, (*NAMES, *others), where=where)


def unknown_setting(
    name: str, known: Iterable[str], *, where: str, otherwise: str | None = None
) -> UnknownSettingError:
    """Give the error about a setting that nothing knows: with the nearest known name, or else what to do.

    Args:
        name: The name that came.
        known: All names that are fine there.
        where: What it was given to, as the message calls it.
        otherwise: What to do where no name is near; without it, how to send a field that only the gateway knows.

    """
    if name in _REFUSED:
        return UnknownSettingError(f"{where} does not take {name!r}: {_REFUSED[name]}.")
    near = nearest_name(name, known)
    passed_on = otherwise or f"A field that only the gateway knows goes into extra_body={{{name!r}: ...}}."
    return UnknownSettingError(f"{where} has no setting {name!r}. {f'Did you mean {near!r}?' if near else passed_on}")


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that was probably meant; None where none is near, since a wrong hint is worse than none."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=_SURELY_MEANT)
    return near[0] if near else None


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings from several places together: the later wins, dicts are merged inside, None leaves a name out."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            old = merged.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                merged[name] = merge(old, value)
            elif value is not None:
                merged[name] = dict(value) if isinstance(value, dict) else value
    return merged


_OTHER_SPELLINGS = {"max_completion_tokens": "max_tokens"}
_HOW_MUCH = ("effort", "max_tokens", "enabled")
"""Keys of `reasoning` that say how much the model thinks. OpenRouter takes one of them."""


def put_together(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings together as `merge` does, so that a later layer wins in whatever spelling it has a setting.

    None takes a setting out. Within one layer `reasoning` wins over `reasoning_effort`, and the first spelling of
    `max_tokens` over the other.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        named: dict[str, Any] = {}
        for spelling, value in layer.items():
            name = _OTHER_SPELLINGS.get(spelling, spelling)
            if named.get(name) is None:
                named[name] = value
        merged = merge(room_for(named, merged), named)
    return merged


def room_for(later: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give what stays of settings when later ones are laid over them: nothing that says the same in another way."""
    left = {name: value for name, value in settings.items() if later.get(name, value) is not None}
    if "reasoning" not in later and "reasoning_effort" not in later:
        return left
    given = later.get("reasoning")
    gone: tuple[str, ...] = ()
    if _says_how_much(given) or later.get("reasoning_effort") is not None:
        gone = _HOW_MUCH
    elif "reasoning_effort" in later:
        gone = ("effort",)
    if gone == _HOW_MUCH or (given is None and "reasoning" in later):
        left.pop("reasoning_effort", None)
    if isinstance(left.get("reasoning"), dict):
        left["reasoning"] = {name: value for name, value in left["reasoning"].items() if name not in gone}
        if not left["reasoning"]:
            del left["reasoning"]
    return left


def with_consequences(changes: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give changes of an object's settings, and with them the setting that would say the same in the old way."""
    old = {name: settings[name] for name in ("reasoning", "reasoning_effort") if settings.get(name) is not None}
    left = room_for(changes, old)
    return {**{name: left.get(name) for name in old if left.get(name) != old[name]}, **changes}


def _says_how_much(reasoning: object) -> bool:
    if not isinstance(reasoning, dict):
        return False
    off = reasoning.get("enabled") is False
    return off or any(reasoning.get(name) is not None for name in ("effort", "max_tokens"))
