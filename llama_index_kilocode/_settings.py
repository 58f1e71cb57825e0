"""The names of the settings, and how those from the constructor, `additional_kwargs` and the call become one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from kilocode_gateway import wire
from kilocode_gateway.config import hide_secrets
from kilocode_gateway.errors import ConfigurationError, UnknownSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.types import BaseOutputParser, PydanticProgramMode

SENT_FIELDS = (
    *wire.OPTIONS,
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "reasoning",
    "reasoning_effort",
    "verbosity",
    "provider",
    "transforms",
    "plugins",
    "modalities",
    "extra_body",
)
"""The fields of the class that the transport gets under their own names. None of them counts unless it is set."""

PER_CALL = ("model", "extra_body", "extra_headers", "timeout")
"""What a call takes beside the gateway's parameters."""

_DICTS = (
    "audio",
    "cache_control",
    "extra_body",
    "extra_headers",
    "logit_bias",
    "metadata",
    "prediction",
    "provider",
    "reasoning",
    "response_format",
    "thinking",
    "web_search_options",
)
"""What a call takes as dicts only."""

_LEGACY = ("class_name", "api_type", "max_new_tokens")
"""What the base class has always taken: the tag of `from_dict`, and two names of times past."""

_CLIENTS = ("http_client", "async_http_client")

_BY_THE_METHOD = {
    "stream": "it is the method that decides: call stream_chat or stream_complete",
    "messages": "the messages are the method's first argument",
    "openai_client": "no openai client is used. Pass http_client=",
    "async_openai_client": "no openai client is used. Pass async_http_client=",
}
_OTHER_NAMES = {
    "base_url": "api_base",
    "openai_api_key": "api_key",
    "openai_api_base": "api_base",
    "model_name": "model",
    "organization": "organization_id",
    "app_name": "feature",
    "app_title": "feature",
    "http_async_client": "async_http_client",
    "request_timeout": "timeout",
    "read_timeout": "timeout",
    "timeout_s": "timeout",
    "timeout_seconds": "timeout",
    "headers": "default_headers",
    "extra_headers": "default_headers",
    "max_output_tokens": "max_tokens",
}


# Editors offer the known values; any other string may be one that a newer model knows.
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051
Verbosity = Literal["low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051


class KiloCodeSettings(TypedDict, total=False):
    """What `KiloCode` takes, for editors and type checkers. Each is documented at the class and its fields."""

    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    stop: str | list[str] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    logprobs: bool | None
    top_logprobs: int
    reasoning: dict[str, Any] | None
    reasoning_effort: Effort | None
    verbosity: Verbosity | None
    provider: dict[str, Any] | None
    transforms: list[str] | None
    plugins: list[dict[str, Any]] | None
    modalities: list[str] | None
    audio_config: dict[str, Any] | None
    extra_body: dict[str, Any] | None
    additional_kwargs: dict[str, Any] | None
    timeout: float | tuple[float, float] | None
    first_token_timeout: float | None
    total_timeout: float | None
    max_retries: int
    fallback_models: list[str] | None
    check_inputs: bool
    mode: str | None
    task_id: str | None
    default_headers: dict[str, str] | None
    http_client: Any
    async_http_client: Any
    reuse_client: bool
    context_window: int | None
    is_function_calling_model: bool | None
    is_chat_model: bool
    should_use_structured_outputs: bool
    strict: bool
    tokenizer: Any
    system_prompt: str | None
    messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None
    completion_to_prompt: Callable[[str], str] | None
    query_wrapper_prompt: Any
    pydantic_program_mode: PydanticProgramMode
    output_parser: BaseOutputParser | None
    callback_manager: CallbackManager | None
    rate_limiter: Any
    api_version: str | None
    # The gateway's further parameters, kept in `additional_kwargs`.
    cache_control: dict[str, Any]
    enable_thinking: bool
    include_reasoning: bool
    logit_bias: dict[str, float]
    max_completion_tokens: int
    metadata: dict[str, Any]
    parallel_tool_calls: bool
    prediction: dict[str, Any]
    prompt_cache_key: str
    prompt_cache_retention: str
    reasoning_split: bool
    response_format: dict[str, Any]
    route: str
    safety_identifier: str
    service_tier: str
    store: bool
    thinking: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_a: float
    user: str
    web_search_options: dict[str, Any]


_OF_THE_MODEL = frozenset(KiloCodeSettings.__annotations__) - {*wire.NAMES, *PER_CALL}
"""What only the constructor takes. Sent as fields of a request, keys and headers would end in the provider's logs."""


def split(settings: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Give the constructor's settings as fields, with the gateway's further parameters put into `additional_kwargs`.

    Args:
        settings: What was given, by name.
        fields: The names of the class's fields.

    Raises:
        UnknownSettingError: If a name is neither a field nor a parameter of the gateway.
        ConfigurationError: If something in `additional_kwargs` is no dict and must be one.

    """
    known = {*fields, *_LEGACY, *_CLIENTS}
    check(settings, known, where="KiloCode")
    settings = {name: value for name, value in settings.items() if name not in ("class_name", "api_type")}
    if settings.get("max_tokens") is None:
        settings["max_tokens"] = settings.get("max_completion_tokens", settings.get("max_new_tokens"))
    settings.pop("max_completion_tokens", None)
    settings.pop("max_new_tokens", None)
    rest = {name: settings.pop(name) for name in list(settings) if name not in known}
    settings["additional_kwargs"] = wire.merge(rest, settings.get("additional_kwargs") or {})
    check_request(settings["additional_kwargs"], where="KiloCode(additional_kwargs=...)")
    # Headers may hold secrets, and what stands in `additional_kwargs` is shown and written down.
    if headers := settings["additional_kwargs"].pop("extra_headers", None):
        settings["default_headers"] = {**(settings.get("default_headers") or {}), **headers}
        hide_secrets(settings)
    return settings


def check_request(given: Mapping[str, Any], *, where: str) -> None:
    """Refuse what cannot be a setting of a call; values are never shown, as headers may hold secrets.

    Raises:
        UnknownSettingError: If nothing knows a name, or only the constructor does.
        ConfigurationError: If a value is no dict and must be one.

    """
    check(given, PER_CALL, where=where)
    for name in _DICTS:
        value = given.get(name)
        if value is not None and not isinstance(value, Mapping):
            hint = " For an effort alone there is reasoning_effort=." if name == "reasoning" else ""
            raise ConfigurationError(f"{where}: {name} must be a dict or None, got {type(value).__name__}.{hint}")


def check(given: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """Refuse names that nothing knows.

    Raises:
        UnknownSettingError: With the name that was meant, where there is one.

    """
    known = set(known)
    for name in given:
        if name in _BY_THE_METHOD:
            raise UnknownSettingError(f"{where} does not take {name!r}: {_BY_THE_METHOD[name]}.")
        if name not in known and name not in wire.NAMES:
            _check_name(name, known, where)
    wire.check_names(given, known, where=where)


def _check_name(name: str, known: set[str], where: str) -> None:
    meant = _OTHER_NAMES.get(name, name)
    if meant != name and (meant in known or meant in wire.NAMES):
        raise UnknownSettingError(f"{where} has no setting {name!r}: here it is called {meant!r}.")
    hint = ""
    if meant not in _OF_THE_MODEL:
        near = wire.nearest_name(name, {*known, *wire.NAMES, *_OF_THE_MODEL})
        if near is None or near in known or near not in _OF_THE_MODEL:
            return
        meant = near
        hint = f"Did you mean {meant!r}? "
    shown = repr(meant) if hint else repr(name)
    fix = f"give it to KiloCode({meant}=...)"
    if meant == "default_headers":
        fix += ", or give extra_headers to the call"
    raise UnknownSettingError(
        f"{where} does not take {name!r} here. {hint}{shown} is a setting of the model, not of a call: {fix}."
    )


def put_together(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings together: the later layer wins, dicts are merged inside, and None takes a setting out."""
    named = [
        {("max_tokens" if name == "max_completion_tokens" else name): value for name, value in layer.items()}
        for layer in layers
    ]
    merged: dict[str, Any] = {}
    for layer in named:
        for name, value in layer.items():
            if value is None:
                merged.pop(name, None)
        merged = wire.merge(merged, layer)
    return merged


def check_few(
    given: Iterable[str], known: Iterable[str], *, where: str, otherwise: str, of_the_model: Iterable[str] = ()
) -> None:
    """Refuse names that a class or a call with few settings does not know.

    Args:
        given: The names that came.
        known: Those that it takes, beside the clients that every constructor takes.
        where: What they were given to, as the message calls it.
        otherwise: What to do about a name that resembles nothing; may hold `{name}`.
        of_the_model: For a call: what the constructor takes.

    Raises:
        UnknownSettingError: With the name that was meant, where there is one.

    """
    known, made = set(known), {*of_the_model, *_CLIENTS}
    if not of_the_model:
        known |= made
    for name in given:
        if name in known:
            continue
        if name in _BY_THE_METHOD:
            fix = f"{_BY_THE_METHOD[name]}."
        elif name in made:
            fix = f"it is one of the model, not of a call: give it to {where}(...)."
        elif _OTHER_NAMES.get(name) in known:
            fix = f"here it is called {_OTHER_NAMES[name]!r}."
        elif near := wire.nearest_name(name, known):
            fix = f"did you mean {near!r}?"
        else:
            fix = f"{otherwise.format(name=name)}."
        raise UnknownSettingError(f"{where} has no setting {name!r}: {fix}")
