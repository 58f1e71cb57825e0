"""`KiloCodeEmbedding`: the Kilo Gateway's embedding models for LlamaIndex."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack, cast

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from kilocode_gateway.embedding_models import amodel_to_send, model_to_send
from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from kilocode_gateway.hidden import hide_secrets
from kilocode_gateway.models import parse_model_ref
from llama_index_kilocode._checked import Checked
from llama_index_kilocode._link import CLIENTS, HTTPTimeout, Link, Seconds
from llama_index_kilocode._settings import check, refuse_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llama_index.core.callbacks import CallbackManager

    from kilocode_gateway.known_models import KnownEmbeddingModel
    from kilocode_gateway.transport import Transport

DEFAULT_MODEL = "openai/text-embedding-3-small"

_OWN = "it is a setting of its own: KiloCodeEmbedding({}=...)"
_PLACES = {
    "model": _OWN.format("model"),
    "base_url": _OWN.format("api_base"),
    "openai_api_key": _OWN.format("api_key"),
    "openai_api_base": _OWN.format("api_base"),
    "http_client": _OWN.format("http_client"),
    "async_http_client": _OWN.format("async_http_client"),
    "input": "the texts are the methods' argument",
    "extra_body": "write its fields into additional_kwargs themselves",
    "stream": "vectors come whole",
}
"""What is no further field of a request, and where it belongs."""


class KiloCodeEmbeddingSettings(TypedDict, total=False):
    """What `KiloCodeEmbedding` takes, for editors and type checkers. Each is documented at the class and its fields."""

    model: KnownEmbeddingModel | str | None
    api_key: str | Callable[[], str] | None
    api_base: str | None
    organization_id: str | None
    feature: str | None
    dimensions: int | None
    embed_batch_size: int
    num_workers: int | None
    timeout: float | tuple[float, float] | HTTPTimeout | None
    max_retries: int
    default_headers: dict[str, str] | None
    additional_kwargs: dict[str, Any] | None
    http_client: Any
    async_http_client: Any
    callback_manager: CallbackManager
    embeddings_cache: Any
    rate_limiter: Any


class KiloCodeEmbedding(Checked, BaseEmbedding):
    """The Kilo Gateway's embedding models.

    Setup:
        Install the package and set the key from your profile at app.kilo.ai.

        ```bash
        pip install "kilocode-gateway[llama-index]"
        export KILOCODE_API_KEY="your-key"
        ```

    Key settings:
        model_name: The id in full; default `openai/text-embedding-3-small`. May be given as `model` as well.
        dimensions: How many numbers a vector has, for models that let one choose. What a model cannot give is refused
            before anything is sent; `kilocode_gateway.EmbeddingModels` lists what each gives.
        embed_batch_size: Texts per request (100).
        num_workers: Requests that the async methods have under way at once (4); None sends all at once.
        api_key, api_base, organization_id: From `KILOCODE_API_KEY`, `KILOCODE_BASE_URL` and `KILOCODE_ORGANIZATION_ID`
            unless given. No `OPENAI_*` variable is ever read.
        feature: What the gateway's usage page calls this program; from `KILOCODE_FEATURE` unless given.
        timeout: Seconds for each read (600), or (connect, read), or an httpx `Timeout`; None waits for ever.
        max_retries: Attempts after the first, for errors that may pass (2).
        default_headers: Further headers of each request (none); neither shown nor in `to_dict`.
        additional_kwargs: Further fields of each request, such as `provider`; they go with queries and texts alike. A
            model that wants `input_type` takes two objects, one for each.
        http_client, async_http_client: Clients of httpx or httpx2 to use instead of the shared ones (none). They are
            never closed here.
        callback_manager, embeddings_cache, rate_limiter: As in every embedding model of LlamaIndex.

        Unknown names and values that cannot be used are refused, in the constructor, in a copy and by assignment.

    Instantiate and embed:
        ```python
        from llama_index_kilocode import KiloCodeEmbedding

        embed_model = KiloCodeEmbedding()
        vector = embed_model.get_query_embedding("How long does the cache live?")
        vectors = embed_model.get_text_embedding_batch(["Six hours.", "For ever."])
        ```

    Async:
        ```python
        import asyncio

        vectors = asyncio.run(embed_model.aget_text_embedding_batch(["Six hours.", "For ever."]))
        ```

    Token usage and cost:
        `kilocode_gateway.track_usage()` counts each request, and its `limit_usd` refuses the next one.

    Copies and pickles:
        A copy with another key or address uses it. A pickle carries what a worker elsewhere needs to run: the settings,
        and a key that was given by hand, so keep it as you keep the key. A key from the environment and HTTP clients
        stay behind: the worker finds its own. A function that gives the key travels with a pickle; one that cannot be
        pickled fails it.

    Raises:
        KiloCodeError: In its kinds, which are `openai` errors as well.

    """

    model_name: str = DEFAULT_MODEL
    """The model id as the gateway's list of embedding models has it."""
    api_key: str | Callable[[], str] | None = Field(default=None, exclude=True, repr=False)
    """The key, if it was given by hand, or a function that gives it, asked for each request. One from
    `KILOCODE_API_KEY` or `KILO_API_KEY` is used but not stored here."""
    api_base: str | None = None
    """The gateway's address; filled from `KILOCODE_BASE_URL`, else the public gateway."""
    organization_id: str | None = None
    """The organization that pays; filled from `KILOCODE_ORGANIZATION_ID` or `KILO_ORG_ID`."""
    feature: str | None = None
    """What the gateway's usage page calls this program; filled from `KILOCODE_FEATURE`."""
    dimensions: Annotated[int, Field(gt=0)] | None = None
    """How many numbers a vector has, for models that let one choose. None leaves it to the model."""
    embed_batch_size: Annotated[int, Field(gt=0, le=2048)] = 100
    """Texts per request."""
    num_workers: Annotated[int, Field(gt=0)] | None = 4
    """Requests that the async methods have under way at once; None sends all at once. So many may pass a limit of
    `track_usage`."""
    timeout: Seconds = 600.0
    """Seconds for each read, or (connect, read); None waits for ever."""
    max_retries: Annotated[int, Field(ge=0)] = 2
    """Attempts after the first, for errors that may pass."""
    default_headers: dict[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Further headers of each request."""
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further fields of each request, such as `provider`; they go with queries and texts alike."""

    _link: Link = PrivateAttr()

    def __init__(
        self, model_name: KnownEmbeddingModel | str = DEFAULT_MODEL, **settings: Unpack[KiloCodeEmbeddingSettings]
    ) -> None:
        hide_secrets(cast("dict[str, Any]", settings))
        model = settings.pop("model", None)
        model = model_name if model is None else model
        if model_name not in (DEFAULT_MODEL, model):
            raise ConfigurationError(f"Expected one model, got model_name={model_name!r} and model={model!r}.")
        self._settle(BaseEmbedding.__init__, {"model_name": model, **settings})

    def _read(self, given: dict[str, Any]) -> dict[str, Any]:
        given = {("model_name" if name == "model" else name): value for name, value in given.items()}
        given.pop("class_name", None)
        passed_on = "A field that only the gateway knows goes into additional_kwargs={{{0!r}: ...}}."
        check(given, {*type(self).model_fields, *CLIENTS}, where="KiloCodeEmbedding", otherwise=passed_on)
        if isinstance(given.get("model_name"), str):
            parse_model_ref(given["model_name"])
        if "additional_kwargs" in given:
            given["additional_kwargs"] = {} if given["additional_kwargs"] is None else given["additional_kwargs"]
            _check_sent(given["additional_kwargs"], type(self).model_fields)
        return given

    @classmethod
    def class_name(cls) -> str:
        """Give the name by which events and `to_dict` call this class."""
        return "KiloCodeEmbedding"

    def _transport(self) -> Transport:
        return self._link.transport(self)

    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Embedding]:
        """Give the vectors of many texts, `embed_batch_size` of them with each request."""
        return super().get_text_embedding_batch(_checked(texts), show_progress, **kwargs)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Do what `get_text_embedding_batch` does, without blocking the event loop, `num_workers` requests at once."""
        texts, size = _checked(texts), self.embed_batch_size
        if self.num_workers != 1:
            return await super().aget_text_embedding_batch(texts, show_progress, **kwargs)
        vectors: list[Embedding] = []  # the framework takes one worker for no limit
        for start in range(0, len(texts), size):
            vectors += await super().aget_text_embedding_batch(texts[start : start + size], show_progress, **kwargs)
        return vectors

    def _settings(self) -> dict[str, Any]:
        _check_sent(self.additional_kwargs, type(self).model_fields)
        return {**self.additional_kwargs, **({} if self.dimensions is None else {"dimensions": self.dimensions})}

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        if not _checked(texts):
            return []
        transport, settings = self._transport(), self._settings()
        model = model_to_send(transport.config, self.model_name, settings.get("dimensions"), self._link.http_client)
        return transport.embed(texts, model=model, settings=settings)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        if not _checked(texts):
            return []
        transport, settings = self._transport(), self._settings()
        client = self._link.http_async_client
        model = await amodel_to_send(transport.config, self.model_name, settings.get("dimensions"), client)
        return await transport.aembed(texts, model=model, settings=settings)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._aget_text_embedding(query)


def _check_sent(given: Any, fields: Iterable[str]) -> None:
    """Refuse what is no field of a request: sent as one, a key or a header would end in the provider's logs.

    Raises:
        ConfigurationError: If it is no dict.
        UnknownSettingError: If a name is a setting of the class, or has a place of its own.

    """
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"additional_kwargs must be a dict or None, got {type(given).__name__}.")
    refuse_headers(given, where="KiloCodeEmbedding")
    for name in given:
        if name in _PLACES:
            fix = _PLACES[name]
        elif name in fields and name != "dimensions":
            fix = _OWN.format(name)
        else:
            continue
        raise UnknownSettingError(f"KiloCodeEmbedding(additional_kwargs=...) does not take {name!r}: {fix}.")


def _checked(texts: Any) -> list[str]:
    """Give the texts; a lone string is refused, as it would be taken apart into letters.

    Raises:
        ConfigurationError: If they are no list of strings.

    """
    if isinstance(texts, str):
        raise ConfigurationError("Expected a list of strings, got a string: call get_text_embedding for one text.")
    if not isinstance(texts, list | tuple):
        raise ConfigurationError(f"Expected a list of strings, got {type(texts).__name__}.")
    for text in texts:
        if not isinstance(text, str):
            raise ConfigurationError(f"A text to embed must be a string, got {type(text).__name__}.")
    return cast("list[str]", texts)
