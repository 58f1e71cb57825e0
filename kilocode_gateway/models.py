"""What is known of a model, and how models are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

SUCCESSORS = {
    "kilo/auto": "kilo-auto/balanced",
    "kilo/auto-free": "kilo-auto/free",
    "kilo/auto-small": "kilo-auto/small",
}
"""Ids that older gateways serve under the first name and newer ones under the second (server sources, 2026)."""

_MILLION = Decimal(1_000_000)


def parse_model_ref(reference: str) -> str:
    """Give the gateway's own id of a model reference.

    `kilocode/` before an id, and `kilo/` before `vendor/model`, are prefixes of other clients and are stripped:
    `kilocode/kilo/auto` is `kilo/auto`, `kilo/kilo-auto/balanced` is `kilo-auto/balanced`, `kilo/auto` stays.

    Raises:
        ConfigurationError: If the reference is blank or no string.

    """
    if not isinstance(reference, str) or not reference.strip():
        msg = f"A model must be named by a string such as 'kilo/auto' or 'openai/gpt-5.4', got {reference!r}."
        raise ConfigurationError(msg)
    id_ = reference.strip()
    if id_.startswith("kilocode/"):
        id_ = id_.removeprefix("kilocode/")
    if id_.startswith("kilo/") and "/" in id_.removeprefix("kilo/"):
        id_ = id_.removeprefix("kilo/")
    return id_


def is_auto(id_: str) -> bool:
    """Say whether the gateway chooses the model behind this id."""
    return id_ in SUCCESSORS or id_.startswith("kilo-auto/")


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices in USD per million tokens; None where a price is unknown or varies."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    image: Decimal | None = None
    """USD per image."""
    request: Decimal | None = None
    """USD per request."""

    @classmethod
    def read(cls, pricing: Mapping[str, Any]) -> Pricing:
        """Read the `pricing` of an entry: strings in USD per token, where a negative number means that it varies."""

        def per_million(name: str) -> Decimal | None:
            price = _amount(pricing.get(name))
            return None if price is None else price * _MILLION

        return cls(
            input=per_million("prompt"),
            output=per_million("completion"),
            cache_read=per_million("input_cache_read"),
            cache_write=per_million("input_cache_write"),
            image=_amount(pricing.get("image")),
            request=_amount(pricing.get("request")),
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the gateway tells of a model. Read it from an entry of `/models` with `from_entry`."""

    id: str
    name: str
    """The display name; it changes with prices and launches, so match on `id`."""
    context_window: int | None = None
    """Tokens that fit into a request and its answer together; None when unknown."""
    max_output_tokens: int | None = None
    """The most tokens of an answer; None when unknown. It can be as large as the whole context window."""
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    supported_parameters: frozenset[str] = frozenset()
    """The request parameters that the model knows; empty when the gateway does not tell."""
    reasoning_efforts: tuple[str, ...] = ()
    pricing: Pricing = field(default_factory=Pricing)
    is_free: bool = False
    is_paid: bool = False
    """Whether it is known to cost money. Neither free nor paid means that nothing is known."""
    may_train_on_prompts: bool | None = None
    description: str = ""
    created: int | None = None
    """When it was added, in seconds since 1970; None when unknown."""
    expires: str | None = None
    """The date on which it is retired, as YYYY-MM-DD."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The entry as it came."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> ModelInfo:
        """Read an entry of `/models`, with any field but the id missing or odd."""
        architecture, top = _mapping(entry.get("architecture")), _mapping(entry.get("top_provider"))
        pricing = Pricing.read(_mapping(entry.get("pricing")))
        id_ = str(entry["id"]).strip()
        free = _is_free(id_, entry, pricing)
        train = entry.get("mayTrainOnYourPrompts")
        return cls(
            id=id_,
            name=_text(entry.get("name")) or id_,
            context_window=_count(entry.get("context_length")) or _count(top.get("context_length")),
            max_output_tokens=_count(top.get("max_completion_tokens")) or _count(entry.get("max_completion_tokens")),
            input_modalities=_words(architecture.get("input_modalities")) or ("text",),
            output_modalities=_words(architecture.get("output_modalities")) or ("text",),
            supported_parameters=frozenset(_words(entry.get("supported_parameters"))),
            reasoning_efforts=_efforts(entry),
            pricing=pricing,
            is_free=free,
            is_paid=not free and (entry.get("isFree") is False or bool(pricing.input or pricing.output)),
            may_train_on_prompts=train if isinstance(train, bool) else None,
            description=_text(entry.get("description")),
            created=_count(entry.get("created")),
            expires=_text(entry.get("expiration_date")) or None,
            raw=entry,
        )

    @property
    def supports_vision(self) -> bool:
        """Whether images go in."""
        return "image" in self.input_modalities

    @property
    def supports_pdf(self) -> bool:
        """Whether PDF files go in."""
        return "pdf" in self.input_modalities or "file" in self.input_modalities

    @property
    def supports_audio(self) -> bool:
        """Whether audio goes in."""
        return "audio" in self.input_modalities

    @property
    def supports_video(self) -> bool:
        """Whether video goes in."""
        return "video" in self.input_modalities

    @property
    def supports_tools(self) -> bool:
        """Whether it calls tools; assumed where the gateway does not tell, as the gateway's own client does."""
        return not self.supported_parameters or "tools" in self.supported_parameters

    @property
    def supports_tool_choice(self) -> bool:
        """Whether a tool call can be required."""
        return "tool_choice" in self.supported_parameters

    @property
    def supports_structured_output(self) -> bool:
        """Whether an answer can be held to a JSON schema."""
        return "structured_outputs" in self.supported_parameters

    @property
    def supports_json_mode(self) -> bool:
        """Whether an answer can be held to JSON."""
        return "response_format" in self.supported_parameters

    @property
    def supports_reasoning(self) -> bool:
        """Whether it reasons before it answers."""
        return bool(self.supported_parameters & {"reasoning", "include_reasoning"})

    def cost(
        self, input_tokens: int, output_tokens: int, *, cache_read_tokens: int = 0, cache_write_tokens: int = 0
    ) -> Decimal | None:
        """Give the price of an answer in USD; None when a price that matters is unknown.

        Args:
            input_tokens: All tokens that go in, cached ones among them.
            output_tokens: All tokens that come out.
            cache_read_tokens: Those of the input that come from the cache.
            cache_write_tokens: Those of the input that are put into it.

        """
        price = self.pricing
        plain = input_tokens - cache_read_tokens - cache_write_tokens
        parts = (
            (plain, price.input),
            (output_tokens, price.output),
            (cache_read_tokens, price.input if price.cache_read is None else price.cache_read),
            (cache_write_tokens, price.input if price.cache_write is None else price.cache_write),
        )
        total = Decimal(0)
        for tokens, per_million in parts:
            if tokens and per_million is None:
                return None
            total += tokens * (per_million or 0) / _MILLION
        return total

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as plain JSON: prices as strings in USD per million tokens, None where unknown."""
        prices = {
            name: None if (price := getattr(self.pricing, name)) is None else f"{price.normalize():f}"
            for name in Pricing.__slots__
        }
        abilities = (
            "vision",
            "pdf",
            "audio",
            "video",
            "tools",
            "tool_choice",
            "structured_output",
            "json_mode",
            "reasoning",
        )
        return {
            "id": self.id,
            "name": self.name,
            "context_window": self.context_window,
            "max_output_tokens": self.max_output_tokens,
            "input_modalities": list(self.input_modalities),
            "output_modalities": list(self.output_modalities),
            **{f"supports_{ability}": getattr(self, f"supports_{ability}") for ability in abilities},
            "reasoning_efforts": list(self.reasoning_efforts),
            "pricing": prices,
            "is_free": self.is_free,
            "is_paid": self.is_paid,
            "may_train_on_prompts": self.may_train_on_prompts,
            "supported_parameters": sorted(self.supported_parameters),
            "expires": self.expires,
        }


def _is_free(id_: str, entry: Mapping[str, Any], pricing: Pricing) -> bool:
    """Say whether a model is free: by the gateway's flag, else its rules for ids (server source, 2026), else prices."""
    flag = entry.get("isFree")
    if isinstance(flag, bool):
        return flag
    if id_.endswith(":free") or id_ in ("openrouter/free", "kilo-auto/free", "kilo/auto-free"):
        return True
    if id_.startswith("stealth/") and id_.endswith("-alpha"):
        return True
    return pricing.input == 0 and pricing.output == 0


def _efforts(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the efforts that the gateway's own client offers for a model, without "none"."""
    variants = _mapping(_mapping(entry.get("opencode")).get("variants"))
    efforts = [_mapping(_mapping(variant).get("reasoning")).get("effort") for variant in variants.values()]
    return tuple(dict.fromkeys(effort for effort in efforts if isinstance(effort, str) and effort != "none"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _words(value: object) -> tuple[str, ...]:
    return (
        tuple(item.strip().lower() for item in value if isinstance(item, str))
        if isinstance(value, (list, tuple))
        else ()
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _amount(value: object) -> Decimal | None:
    """Read a price; a negative number means that it varies, so it is unknown."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
