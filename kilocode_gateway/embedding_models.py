"""The gateway's embedding models: how long their vectors are, and which other lengths they give.

The list of `/models` holds none of them. Source of all that is said here of the gateway: its server source, 2026.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from kilocode_gateway.bundled import EMBEDDINGS
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.discovery import FETCH_SECONDS, Memory, Slot, anonymous, checked
from kilocode_gateway.errors import ConfigurationError, MalformedReplyError
from kilocode_gateway.model_map import UnknownModelError
from kilocode_gateway.models import parse_model_ref
from kilocode_gateway.tables import nearest

if TYPE_CHECKING:
    from kilocode_gateway.http import Answer
    from kilocode_gateway.known_models import KnownEmbeddingModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EmbeddingModelInfo:
    """What the gateway tells of an embedding model."""

    id: str
    name: str
    """The display name."""
    dimension: int | None = None
    """How many numbers a vector has, unless fewer are asked for; None when unknown."""
    fixed: bool = False
    """Whether it gives no other length. Early lists do not tell, and then this is False."""
    verified_dimensions: tuple[int, ...] = ()
    """Lengths that the gateway has tried; most lists name none."""

    @classmethod
    def from_entry(cls, entry: object) -> EmbeddingModelInfo | None:
        """Read an entry of `/embedding-models`; None when it has no id. Whatever else is odd in it is left out.

        `dimensionMode` came in summer 2026 as "fixed" or "selectable", and is "fixed" or absent since.
        """
        id_ = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(id_, str) or not id_.strip():
            return None
        name, mode, verified = entry.get("name"), entry.get("dimensionMode"), entry.get("verifiedDimensions")
        return cls(
            id=id_.strip(),
            name=name if isinstance(name, str) and name else id_.strip(),
            dimension=_length(entry.get("dimension")),
            fixed=isinstance(mode, str) and mode.strip().lower() == "fixed",
            verified_dimensions=tuple(filter(None, map(_length, verified if isinstance(verified, list) else ()))),
        )

    def allows(self, dimensions: int) -> bool:
        """Say whether it gives vectors of this length, as the gateway checks it: fixed models their own length only."""
        if self.dimension is None or dimensions in (self.dimension, *self.verified_dimensions):
            return True
        return not self.fixed and 1 <= dimensions <= self.dimension


def _length(value: object) -> int | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and value % 1 == 0
    return int(value) if whole else None  # type: ignore[call-overload]  # a number, as was just seen


class EmbeddingModels(Mapping[str, EmbeddingModelInfo]):
    """The embedding models of one gateway, by id.

    Look one up by any form of its name, the gateway's short names among them: `models["text-embedding-3-small"]`.
    Make one with `EmbeddingModels.discover()`.

    Args:
        infos: The models.
        source: Where they come from.
        default: The id of the model that the gateway names as its default.
        aliases: Short names, each with the id that it stands for.

    """

    def __init__(
        self,
        infos: tuple[EmbeddingModelInfo, ...],
        *,
        source: Literal["gateway", "bundled"],
        default: str | None,
        aliases: Mapping[str, str],
    ) -> None:
        self.source: Literal["gateway", "bundled"] = source
        """Where the list comes from: the gateway, or this package."""
        self.default = default
        """The id of the gateway's own default; None when it names none. It has changed twice in 2026."""
        self.aliases: Mapping[str, str] = MappingProxyType({**EMBEDDINGS["aliases"], **aliases})
        """Short names that clients resolve; the gateway itself wants the id that each stands for."""
        self._infos: dict[str, EmbeddingModelInfo] = {}
        for info in infos:
            self._infos.setdefault(info.id, info)

    @classmethod
    def discover(
        cls,
        *,
        config: GatewayConfig | None = None,
        base_url: str | None = None,
        timeout: float = FETCH_SECONDS,
        refresh: bool = False,
        http_client: Any = None,
    ) -> EmbeddingModels:
        """Give the gateway's embedding models: from memory, else fetched, once for the process.

        However many ask at once, one request is made, and it carries no key, for none is needed. A failure is no
        error: the bundled list is given, and one warning in the log says why. It is not tried again for 60 seconds.

        Args:
            config: The gateway; else it is made of the next argument and the environment.
            base_url: The gateway's address.
            timeout: Seconds for the whole fetch.
            refresh: Fetch even when a list is in memory, or the last fetch has just failed.
            http_client: A client of httpx or httpx2 to use instead of the shared one.

        Raises:
            ConfigurationError: If a setting cannot be used.

        """
        config = anonymous(config or GatewayConfig.resolve(base_url=base_url))
        seconds = checked(timeout, http_client)
        return _memory.of(config.identity).discover(config, seconds, http_client, refresh=refresh)

    @classmethod
    async def adiscover(
        cls,
        *,
        config: GatewayConfig | None = None,
        base_url: str | None = None,
        timeout: float = FETCH_SECONDS,  # noqa: ASYNC109 - a limit in seconds, as everywhere here
        refresh: bool = False,
        http_async_client: Any = None,
    ) -> EmbeddingModels:
        """Do what `discover` does, without blocking the event loop; a client that is handed in is an async one."""
        config = anonymous(config or GatewayConfig.resolve(base_url=base_url))
        seconds = checked(timeout, http_async_client)
        return await _memory.of(config.identity).adiscover(config, seconds, http_async_client, refresh=refresh)

    @classmethod
    def at_hand(cls, config: GatewayConfig) -> EmbeddingModels:
        """Give what is known without a request: from memory, else bundled."""
        return _memory.of(anonymous(config).identity).at_hand()

    @classmethod
    def bundled(cls) -> EmbeddingModels:
        """Give the models that come with the package: the gateway's list of autumn 2026."""
        return _Slot.bundled

    def resolve(self, reference: KnownEmbeddingModel | str) -> str:
        """Give the id to send for a reference: without other clients' prefixes, and in full for a short name.

        Raises:
            ConfigurationError: If the reference is blank or no string.

        """
        id_ = parse_model_ref(reference)
        return id_ if id_ in self._infos else self.aliases.get(id_, id_)

    def check(self, reference: KnownEmbeddingModel | str, dimensions: int) -> None:
        """Refuse a length of vectors that a model cannot give. A model that is not listed is left to the gateway.

        Raises:
            ConfigurationError: With the lengths that it gives.

        """
        check_whole(dimensions)
        info = self.get(reference)
        if info is None or info.allows(dimensions):
            return
        own = f"always gives {info.dimension}" if info.fixed else f"gives at most {info.dimension}"
        advice = "" if info.fixed else f"Set dimensions to 1 to {info.dimension}, or leave"
        others = [repr(other.id) for other in self.values() if other.dimension and other.allows(dimensions)][:3]
        choose = f", or choose another model, such as {' or '.join(others)}" if others else ""
        raise ConfigurationError(
            f"The embedding model {info.id!r} {own} numbers for a text, and dimensions={dimensions} was asked for, so "
            f"nothing was sent. {advice or 'Leave'} dimensions out{choose}.",
            model=info.id,
        )

    def __getitem__(self, reference: KnownEmbeddingModel | str) -> EmbeddingModelInfo:
        info = self.get(reference)
        if info is not None:
            return info
        near = nearest(str(reference), [*self._infos, *self.aliases], 3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "`list(models)` gives the ids."
        msg = f"The list of embedding models (source: {self.source}) has no {reference!r}. {hint}"
        raise UnknownModelError(msg, nearest=near)

    @overload
    def get(self, reference: KnownEmbeddingModel | str, /) -> EmbeddingModelInfo | None: ...
    @overload
    def get(
        self, reference: KnownEmbeddingModel | str, default: EmbeddingModelInfo | T, /
    ) -> EmbeddingModelInfo | T: ...
    def get(self, reference: KnownEmbeddingModel | str, default: object = None, /) -> object:
        """Give a model, or the default where there is none."""
        try:
            return self._infos.get(self.resolve(reference), default)
        except ConfigurationError:
            return default

    def __contains__(self, reference: object) -> bool:
        return bool(self.get(reference))  # type: ignore[call-overload]  # nothing but a string is in the list

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)

    def __repr__(self) -> str:
        return f"EmbeddingModels({len(self)} models, source={self.source!r}, default={self.default!r})"


def check_whole(dimensions: object) -> None:
    """Refuse what is no length of a vector.

    Raises:
        ConfigurationError: If it is no whole number from 1.

    """
    if type(dimensions) is not int or dimensions < 1:
        raise ConfigurationError(f"dimensions must be a whole number from 1, got {dimensions!r}.")


def model_to_send(config: GatewayConfig, reference: str, dimensions: object, http_client: Any = None) -> str:
    """Give the id of an embedding model, once it is known that it gives vectors of this length.

    Where no length is asked for, nothing is fetched.

    Raises:
        ConfigurationError: If the model cannot give them, or a setting cannot be used.

    """
    if dimensions is None:
        return EmbeddingModels.at_hand(config).resolve(reference)
    check_whole(dimensions)
    models = EmbeddingModels.discover(config=config, http_client=http_client)
    models.check(reference, dimensions)  # type: ignore[arg-type]  # a whole number, as was just seen
    return models.resolve(reference)


async def amodel_to_send(config: GatewayConfig, reference: str, dimensions: object, http_client: Any = None) -> str:
    """Do what `model_to_send` does, without blocking the event loop."""
    if dimensions is not None:
        check_whole(dimensions)
        models = await EmbeddingModels.adiscover(config=config, http_async_client=http_client)
        models.check(reference, dimensions)  # type: ignore[arg-type]  # a whole number, as was just seen
        return models.resolve(reference)
    return EmbeddingModels.at_hand(config).resolve(reference)


def _listed(payload: object, *, source: Literal["gateway", "bundled"]) -> EmbeddingModels:
    """Read a list, entry by entry: what is odd is left out."""
    fields = payload if isinstance(payload, dict) else {}
    rows, aliases, default = fields.get("models"), fields.get("aliases"), fields.get("defaultModel")
    named = aliases.items() if isinstance(aliases, dict) else ()
    return EmbeddingModels(
        tuple(filter(None, map(EmbeddingModelInfo.from_entry, rows if isinstance(rows, list) else ()))),
        source=source,
        default=default if isinstance(default, str) and default else None,
        aliases={short: id_ for short, id_ in named if isinstance(id_, str) and id_},
    )


class _Slot(Slot[EmbeddingModels]):
    path, name = "embedding-models", "embedding models"
    bundled = _listed(EMBEDDINGS, source="bundled")

    def read(self, answer: Answer) -> EmbeddingModels:
        try:
            found = _listed(json.loads(answer.body), source="gateway")
        except (ValueError, RecursionError):
            found = None
        if found:
            return found
        msg = f"The answer from {answer.url} is not a list of embedding models."
        raise MalformedReplyError(msg, status=answer.status, url=answer.url)

    def described(self, given: EmbeddingModels) -> str:
        return "the bundled ones" if given.source == "bundled" else "those of an earlier answer"


_memory = Memory(_Slot)
