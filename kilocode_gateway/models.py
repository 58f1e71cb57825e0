"""What is known of a model, and how models are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

SUCCESSORS: Mapping[str, str] = MappingProxyType(
    {
        "kilo/auto": "kilo-auto/balanced",
        "kilo/auto-free": "kilo-auto/free",
        "kilo/auto-small": "kilo-auto/small",
    }
)
"""Ids that older gateways serve under the first name and newer ones under the second (server sources, 2026)."""

_MILLION = Decimal(1_000_000)
# Of our own, because users may have set a narrow context for their own sums.
_EXACT = Context(prec=60, traps=[])
_THREE_FIGURES = Context(prec=3, traps=[])
# Powers of ten between which a price can lie; anything else is no price, and as text would fill pages.
_SMALLEST, _LARGEST = -30, 12


def parse_model_ref(reference: str) -> str:
    """Give the gateway's own id of a model reference.

    `kilocode/` before an id, and `kilo/` before `vendor/model`, are prefixes of other clients and are stripped:
    `kilocode/kilo/auto` is `kilo/auto`, `kilo/kilo-auto/balanced` is `kilo-auto/balanced`, `kilo/auto` stays.
    Blanks around it are dropped; upper and lower case are kept. What comes out stays as it is when it is given again.

    Raises:
        ConfigurationError: If the reference is blank or no string.

    """
    given: object = reference
    id_, before = given.strip() if isinstance(given, str) else "", ""
    # A client may have put its prefix before a name that has one already.
    while id_ != before:
        before = id_
        id_ = id_.removeprefix("kilocode/").strip()
        if id_.startswith("kilo/") and "/" in id_.removeprefix("kilo/"):
            id_ = id_.removeprefix("kilo/").strip()
    if not id_:
        msg = f"A model must be named by a string such as 'kilo/auto' or 'openai/gpt-5.4', got {reference!r}."
        raise ConfigurationError(msg)
    return id_


def is_auto(id_: str) -> bool:
    """Say whether the gateway chooses the model behind this id; as the gateway itself, in any case of letters."""
    name = id_.strip().lower()
    return name in SUCCESSORS or name.startswith("kilo-auto/")


def check_entry(entry: object) -> str | None:
    """Give the id of an entry of `/models`; None when the entry is malformed: no id, or prices that are no object."""
    if not isinstance(entry, dict):
        return None
    id_, pricing = entry.get("id"), entry.get("pricing")
    if not isinstance(id_, str) or (pricing is not None and not isinstance(pricing, dict)):
        return None
    return id_.strip() or None


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices in USD per million tokens, unless a field says otherwise; None where a price is unknown or varies."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    """Input that comes from the prompt cache; where unknown, it costs what other input costs."""
    cache_write: Decimal | None = None
    """Input that is put into the prompt cache; where unknown, it costs what other input costs."""
    reasoning: Decimal | None = None
    """Reasoning tokens, where they cost something other than output."""
    image: Decimal | None = None
    """USD per image that goes in."""
    request: Decimal | None = None
    """USD per request."""
    web_search: Decimal | None = None
    """USD per web search."""

    @classmethod
    def read(cls, pricing: Mapping[str, Any]) -> Pricing:
        """Read the `pricing` of an entry: strings in USD per token, where a negative number means that it varies."""

        def per_million(name: str) -> Decimal | None:
            price = _amount(pricing.get(name))
            # Adding 0 writes 1E+1 as 10.
            return None if price is None else _EXACT.add(price.scaleb(6, context=_EXACT), Decimal(0))

        return cls(
            input=per_million("prompt"),
            output=per_million("completion"),
            cache_read=per_million("input_cache_read"),
            cache_write=per_million("input_cache_write"),
            reasoning=per_million("internal_reasoning"),
            image=_amount(pricing.get("image")),
            request=_amount(pricing.get("request")),
            web_search=_amount(pricing.get("web_search")),
        )

    def to_dict(self) -> dict[str, str | None]:
        """Give the prices as plain JSON: strings, because a float would not be the price."""
        prices = {name: getattr(self, name) for name in self.__slots__}
        return {name: None if price is None else decimal_text(price) for name, price in prices.items()}


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
    """Values for `reasoning={"effort": ...}` that the gateway's own client offers, in its order; may be empty."""
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
    preferred_index: int | None = None
    """Its place among the models that Kilo recommends, from 0; None for the others."""
    routed_models: tuple[str, ...] = ()
    """The ids among which an auto model chooses, where the gateway tells them (`autoRouting.models`, 2026)."""
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
        inputs, outputs = _modalities(architecture)
        return cls(
            id=id_,
            name=_text(entry.get("name")) or id_,
            context_window=_count(entry.get("context_length")) or _count(top.get("context_length")),
            max_output_tokens=_count(top.get("max_completion_tokens")) or _count(entry.get("max_completion_tokens")),
            input_modalities=inputs,
            output_modalities=outputs,
            supported_parameters=frozenset(_words(entry.get("supported_parameters"))),
            reasoning_efforts=_efforts(entry),
            pricing=pricing,
            is_free=free,
            is_paid=not free and (entry.get("isFree") is False or _costs(pricing)),
            may_train_on_prompts=train if isinstance(train, bool) else None,
            description=_text(entry.get("description")),
            created=_count(entry.get("created")),
            expires=_text(entry.get("expiration_date")) or None,
            preferred_index=_count(entry.get("preferredIndex"), least=0),
            routed_models=_ids(_mapping(entry.get("autoRouting")).get("models")),
            raw=entry,
        )

    @property
    def tells_inputs(self) -> bool:
        """Whether the gateway told what goes in; where it did not, text alone is put down."""
        return self.input_modalities != ("text",) or _tells_inputs(_mapping(self.raw.get("architecture")))

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
        self, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
    ) -> Decimal | None:
        """Give the price of an answer in USD; None when a price that matters is unknown.

        Args:
            input_tokens: All tokens that go in, cached ones among them.
            output_tokens: All tokens that come out, reasoning among them.
            cache_read_tokens: Those of the input that come from the cache.
            cache_write_tokens: Those of the input that are put into it.

        """
        price = self.pricing
        parts = (
            (max(0, input_tokens - cache_read_tokens - cache_write_tokens), price.input),
            (output_tokens, price.output),
            (cache_read_tokens, price.input if price.cache_read is None else price.cache_read),
            (cache_write_tokens, price.input if price.cache_write is None else price.cache_write),
        )
        total = Decimal(0)
        for tokens, per_million in parts:
            if not tokens:
                continue
            if per_million is None:
                return None
            total = _EXACT.fma(Decimal(tokens), per_million, total)
        return _EXACT.add(_EXACT.divide(total, _MILLION), price.request or Decimal(0))

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as plain JSON: prices as strings, None where unknown."""
        abilities = {name: getattr(self, name) for name in ABILITIES}
        return {
            "id": self.id,
            "name": self.name,
            "context_window": self.context_window,
            "max_output_tokens": self.max_output_tokens,
            "input_modalities": list(self.input_modalities),
            "output_modalities": list(self.output_modalities),
            **abilities,
            "reasoning_efforts": list(self.reasoning_efforts),
            "pricing": self.pricing.to_dict(),
            "is_free": self.is_free,
            "is_paid": self.is_paid,
            "may_train_on_prompts": self.may_train_on_prompts,
            "supported_parameters": sorted(self.supported_parameters),
            "created": self.created,
            "expires": self.expires,
            "preferred_index": self.preferred_index,
            "description": self.description,
        }


ABILITIES = tuple(name for name in vars(ModelInfo) if name.startswith("supports_"))
"""The names of the properties that say what a model can do."""


def decimal_text(amount: Decimal) -> str:
    """Write an amount exactly, without an exponent and without needless zeros."""
    return f"{amount.normalize(context=_EXACT):f}"


def amount_text(amount: Decimal) -> str:
    """Write an amount for people: with two places, or with three figures where two places would hide it."""
    if abs(amount) >= 1 or amount == round(amount, 2):
        return f"{amount:.2f}"
    return decimal_text(_THREE_FIGURES.plus(amount))


def _is_free(id_: str, entry: Mapping[str, Any], pricing: Pricing) -> bool:
    """Say whether a model is free: by the gateway's flag, else its rules for ids (server source, 2026), else prices."""
    flag = entry.get("isFree")
    if isinstance(flag, bool):
        return flag
    if id_.endswith(":free") or id_ in ("openrouter/free", "kilo-auto/free", "kilo/auto-free"):
        return True
    if id_.startswith("stealth/") and id_.endswith("-alpha"):
        return True
    return pricing.input == 0 and pricing.output == 0 and not _costs(pricing)


def _costs(pricing: Pricing) -> bool:
    return any((pricing.input, pricing.output, pricing.request, pricing.image))


def _efforts(entry: Mapping[str, Any]) -> tuple[str, ...]:
    variants = _mapping(_mapping(entry.get("opencode")).get("variants"))
    efforts = [_text(_mapping(_mapping(variant).get("reasoning")).get("effort")) for variant in variants.values()]
    return tuple(dict.fromkeys(filter(None, efforts)))


def _modalities(architecture: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give what goes in and what comes out, from the two lists, else from the short form `text+image->text`."""
    before, _, after = _text(architecture.get("modality")).partition("->")
    inputs = _words(architecture.get("input_modalities")) or _words(before.split("+"))
    outputs = _words(architecture.get("output_modalities")) or _words(after.split("+"))
    return inputs or ("text",), outputs or ("text",)


def _tells_inputs(architecture: Mapping[str, Any]) -> bool:
    return bool(_words(architecture.get("input_modalities")) or _text(architecture.get("modality")).partition("->")[0])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(dict.fromkeys(word for item in value if (word := _text(item).lower())))


def _ids(value: object) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, value))) if isinstance(value, list) else ()


def _count(value: object, *, least: int = 1) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def _amount(value: object) -> Decimal | None:
    """Read a price; a negative number means that it varies, so it is unknown."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):
        return None
    if not amount.is_finite() or amount.is_signed():
        return Decimal(0) if amount.is_zero() else None
    return amount if not amount or _SMALLEST <= amount.adjusted() <= _LARGEST else None
