"""The gateway's embedding models in LangChain."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from kilocode_gateway.embedding_models import amodel_to_send, check_whole, model_to_send
from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from langchain_kilocode._batches import aeach, each
from langchain_kilocode._connection import Memory, connection, hide_key, shared_in_copies, without_connections
from langchain_kilocode._settings import refuse_foreign_names

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from kilocode_gateway.config import GatewayConfig
    from kilocode_gateway.transport import Transport


class KiloCodeEmbeddings(BaseModel, Embeddings):
    """Embedding models of the Kilo Gateway.

    Setup:
        Install `kilocode-gateway[langchain]` and set the key in the environment:

        ```bash
        pip install 'kilocode-gateway[langchain]'
        export KILOCODE_API_KEY=...
        ```

    Instantiate:
        ```python
        from langchain_kilocode import KiloCodeEmbeddings

        embeddings = KiloCodeEmbeddings(model="openai/text-embedding-3-small")
        ```

    Embed:
        ```python
        vector = embeddings.embed_query("What is a gateway?")
        vectors = embeddings.embed_documents(["One text.", "Another text."])
        ```

    Async:
        ```python
        vector = await embeddings.aembed_query("What is a gateway?")
        ```

    Long lists:
        `chunk_size` texts go out in a request and `max_concurrency` requests are under way at once; the vectors come
        back in the texts' order. The first error ends the call, and no further request is begun. `track_usage` counts
        every request, and a limit that is reached keeps the next one from being sent.

        ```python
        from kilocode_gateway import track_usage

        many = KiloCodeEmbeddings(chunk_size=100, max_concurrency=8)
        with track_usage(limit_usd=1) as used:
            vectors = many.embed_documents([f"Text number {number}." for number in range(250)])
        print(len(vectors), used.total.calls)
        ```

        ```text
        250 3
        ```

    Choose a model:
        The model list of `Catalog` does not hold embedding models; this one does.

        ```python
        from kilocode_gateway import EmbeddingModels

        for info in EmbeddingModels.discover().values():
            print(info.id, info.dimension, "fixed" if info.fixed else "or fewer")
        ```

    Shorter vectors:
        What a model cannot give is a `ConfigurationError`, before anything is sent. The gateway's list of embedding
        models is fetched for that, once for the process; where that fails, the package's own list is used. A model that
        is not listed is left to the gateway.

        ```python
        short = KiloCodeEmbeddings(model="openai/text-embedding-3-large", dimensions=256)
        vector = short.embed_query("What is a gateway?")
        ```

    Texts go out as strings with `encoding_format: "float"`, and the gateway's short names, such as
    `text-embedding-3-small`, as the ids that they stand for (gateway server source, 2026).
    """

    model_config = ConfigDict(populate_by_name=True, arbitrary_types_allowed=True, protected_namespaces=())

    model: str = "openai/text-embedding-3-small"
    """The embedding model, in any reference form. `EmbeddingModels` lists them; the chat models' list does not."""
    api_key: SecretStr | str | None = None
    """The gateway's key; kept as a `SecretStr`. Without one: `KILOCODE_API_KEY`, then `KILO_API_KEY`."""
    base_url: str | None = None
    """The gateway's address. Without one: `KILOCODE_BASE_URL`, then `https://api.kilo.ai/api/gateway/`."""
    organization_id: str | None = None
    """The organization that is billed. Without one: `KILOCODE_ORGANIZATION_ID`, then `KILO_ORG_ID`."""
    feature: str | None = None
    """What the gateway's usage page calls this program. Without one: `KILOCODE_FEATURE`."""
    dimensions: int | None = None
    """How many numbers a vector has, for models that let one choose. Others give none but their own."""
    chunk_size: int = Field(default=256, alias="batch_size", ge=1)
    """How many texts one request carries."""
    max_concurrency: int = Field(default=4, ge=1)
    """How many requests of one call are under way at once; 1 sends one after the other."""
    request_timeout: Any = Field(default=600.0, alias="timeout")
    """Seconds for each read, a pair (connect, read), an httpx `Timeout`, or None for no limit."""
    max_retries: int | None = 2
    """Attempts after the first, for errors that may pass."""
    provider: dict[str, Any] | None = None
    """Which providers may serve, as in `ChatKiloCode`."""
    extra_body: dict[str, Any] | None = None
    """Further request fields, sent as they are."""
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Further headers for each request."""
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """A client of httpx or httpx2 to use instead of the shared one. It is never closed here."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """The same for async calls."""

    _memory: Memory = PrivateAttr(default_factory=Memory)

    if not TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None:
            """Hide the key first: each further call on the way would show it in a traceback with local variables."""
            hide_key(settings)
            super().__init__(**settings)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: dict[str, Any]) -> Any:
        values = dict(values)
        hide_key(values)
        refuse_foreign_names(values, where=cls.__name__)
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values() if field.alias)}
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                msg = f"{cls.__name__} has no setting {name!r}.{hint} What only the gateway knows goes into extra_body."
                raise UnknownSettingError(msg)
        return values

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        if self.dimensions is not None:
            check_whole(self.dimensions)
        self._transport()
        return self

    def _transport(self) -> Transport:
        return connection(self, self._memory)

    @property
    def gateway_config(self) -> GatewayConfig:
        """Where requests go and who asks, with the environment read. Its repr hides the key."""
        return self._transport().config

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give one vector for each text, in the texts' order. No text, no request.

        Raises:
            ConfigurationError: If it is no list of strings, or the model cannot give `dimensions`. Nothing is sent.
            BudgetExceededError: When the limit of a `track_usage` block is reached.
            KiloCodeError: When the gateway refuses, or answers with something else than one vector for each text.

        """
        batches, fields = self._batches(texts), self._fields()
        if not batches:
            return []
        transport = self._transport()
        model = model_to_send(transport.config, self.model, fields.get("dimensions"), self.http_client)

        def embed(batch: list[str]) -> list[list[float]]:
            return transport.embed(batch, model=model, settings=fields)

        return [vector for vectors in each(embed, batches, self.max_concurrency) for vector in vectors]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do what `embed_documents` does, without blocking the event loop."""
        batches, fields = self._batches(texts), self._fields()
        if not batches:
            return []
        transport = self._transport()
        model = await amodel_to_send(transport.config, self.model, fields.get("dimensions"), self.http_async_client)

        def embed(batch: list[str]) -> Awaitable[list[list[float]]]:
            return transport.aembed(batch, model=model, settings=fields)

        return [vector for vectors in await aeach(embed, batches, self.max_concurrency) for vector in vectors]

    def embed_query(self, text: str) -> list[float]:
        """Give the vector of one text."""
        return self.embed_documents([_checked_query(text)])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Do what `embed_query` does, without blocking the event loop."""
        return (await self.aembed_documents([_checked_query(text)]))[0]

    def _batches(self, texts: list[str]) -> list[list[str]]:
        _check_texts(texts)
        return [texts[start : start + self.chunk_size] for start in range(0, len(texts), self.chunk_size)]

    def _fields(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions, "provider": self.provider, **(self.extra_body or {})}

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "api_key":
            settings, value = {name: value}, None
            hide_key(settings)
            value = settings[name]
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Give a copy with some settings changed."""
        changes = dict(update or {})
        update = None  # it may hold the key, which no traceback should show
        hide_key(changes)
        return super().model_copy(update=changes, deep=deep)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._memory = Memory()  # noqa: SLF001 - of the same class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super().__deepcopy__(shared_in_copies(self.__dict__, memo))

    def __getstate__(self) -> dict[Any, Any]:
        return without_connections(super().__getstate__())


def _check_texts(texts: object) -> None:
    if not isinstance(texts, (list, tuple)):
        msg = f"embed_documents expects a list of strings, got {_kind(texts)}. One text alone goes to embed_query."
        raise ConfigurationError(msg)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            msg = f"embed_documents expects a list of strings, got {_kind(text)} at position {position}."
            raise ConfigurationError(msg)


def _checked_query(text: object) -> str:
    if not isinstance(text, str):
        msg = f"embed_query expects a string, got {_kind(text)}. Several texts go to embed_documents."
        raise ConfigurationError(msg)
    return text


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
