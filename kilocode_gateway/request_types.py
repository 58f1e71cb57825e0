"""The types of a request's settings, which both frameworks show to editors and type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilocode_gateway.known_models import KnownModel

# Editors complete the documented values; the gateway takes any.
Mode = (
    Literal["architect", "ask", "build", "claw", "code", "debug", "explore", "general", "orchestrator", "plan"] | str  # noqa: PYI051
)
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051
Verbosity = Literal["low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051

if TYPE_CHECKING:
    _Effort = Effort
else:
    _Effort = str  # what a framework reads of it when a program runs


class ProviderRouting(TypedDict, total=False):
    """Which providers may serve a request. An organization's own policy replaces it (gateway server source, 2026)."""

    order: list[str]
    """Providers to try, in this order."""
    only: list[str]
    """The only providers that may serve."""
    ignore: list[str]
    """Providers that may not serve."""
    sort: str
    """What to prefer: price, throughput or latency."""
    data_collection: str
    """`allow` or `deny`: whether the provider may keep prompts. `deny` excludes models that train on them."""
    zdr: bool
    """Only providers that retain nothing."""
    require_parameters: bool
    """Only providers that support every parameter of the request."""


class Reasoning(TypedDict, total=False):
    """How much a model thinks. The auto models decide it themselves (gateway server source, 2026)."""

    effort: _Effort
    """none, minimal, low, medium, high, xhigh or max; which of them a model knows is in its profile."""
    max_tokens: int
    """The most tokens for reasoning; an alternative to `effort`."""
    exclude: bool
    """Think, but do not send the reasoning."""
    enabled: bool
    """Think at all. Models that always think refuse `False`."""


class RequestSettings(TypedDict, total=False):
    """What the constructor of a chat class and each of its calls take alike; `wire.NAMES` tells what each does."""

    audio: dict[str, Any] | None
    cache_control: dict[str, Any] | None
    check_inputs: bool
    enable_thinking: bool | None
    extra_body: Mapping[str, Any] | None
    fallback_models: list[KnownModel] | list[str] | None
    first_token_timeout: float | None
    frequency_penalty: float | None
    include_reasoning: bool | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    min_p: float | None
    modalities: list[str] | None
    mode: Mode | None
    plugins: list[dict[str, Any]] | None
    prediction: dict[str, Any] | None
    presence_penalty: float | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    provider: ProviderRouting | None
    reasoning: Reasoning | None
    reasoning_effort: Effort | None
    reasoning_split: bool | None
    repetition_penalty: float | None
    route: str | None
    safety_identifier: str | None
    seed: int | None
    service_tier: str | None
    store: bool | None
    stream_options: dict[str, Any] | None
    task_id: str | None
    temperature: float | None
    thinking: dict[str, Any] | None
    top_a: float | None
    top_k: int | None
    top_p: float | None
    total_timeout: float | None
    transforms: list[str] | None
    user: str | None
    verbosity: Verbosity | None
    web_search_options: dict[str, Any] | None


class FIMSettings(TypedDict, total=False):
    """What a class that fills gaps and each of its calls take alike."""

    suffix: str | None
    max_tokens: int | None
    min_tokens: int | None
    temperature: float | None
    first_token_timeout: float | None
    total_timeout: float | None
