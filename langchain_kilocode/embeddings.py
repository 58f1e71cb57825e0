"""The gateway's embedding models in LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from langchain_core.embeddings import Embeddings
from pydantic import Field, model_validator

from kilocode_gateway.embedding_models import amodel_to_send, check_whole, model_to_send
from langchain_kilocode._batches import aeach, each
from langchain_kilocode._connection import OnGateway
from langchain_kilocode.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Unpack

    from langchain_kilocode._typed import EmbeddingSettings


class KiloCodeEmbeddings(OnGateway, Embeddings):
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

    model: str = "openai/text-embedding-3-small"
    """The embedding model, in any reference form. `EmbeddingModels` lists them; the chat models' list does not."""
    dimensions: int | None = None
    """How many numbers a vector has, for models that let one choose. Others give none but their own."""
    chunk_size: int = Field(default=256, alias="batch_size", ge=1)
    """How many texts one request carries."""
    max_concurrency: int = Field(default=4, ge=1)
    """How many requests of one call are under way at once; 1 sends one after the other."""
    provider: dict[str, Any] | None = None
    """Which providers may serve, as in `ChatKiloCode`."""
    extra_body: dict[str, Any] | None = None
    """Further request fields, sent as they are."""

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[EmbeddingSettings]) -> None: ...

    @model_validator(mode="after")
    def _check_dimensions(self) -> Self:
        if self.dimensions is not None:
            check_whole(self.dimensions)
        return self

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
