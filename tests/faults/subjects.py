"""Who asks: each class of each framework, in each of its ways, and the catalog; all tell in one form what came."""

from __future__ import annotations

import importlib.util
import itertools
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from kilocode_gateway.local import LocalGateway

KEY = "canary-7f3a-key"
MODEL = "anthropic/claude-sonnet-4.6"
TEXT = "Grüße 你好 \U0001f600, one two."
REASONING = "First this."
ARGUMENTS = {"city": "Zürich", "unit": "°C"}
CALL = {"name": "weather", "id": "call_1", "arguments": json.dumps(ARGUMENTS)}
INPUTS = ["one", "zwei", "三"]
_organizations = itertools.count()


@dataclass(slots=True)
class Heard:
    """What an asker was given before it ended, and the whole answer if there was one."""

    whole: Any = None
    pieces: list[str] = field(default_factory=list)
    """The text of each piece of a stream, also of one that broke."""
    warnings: int = 0
    """How many warnings were logged, where a failure is no error."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to ask: where, how patiently, and with whose HTTP library."""

    gateway: LocalGateway
    base_url: str
    clients: tuple[Any, Any]
    """A sync and an async client, or None twice for the shared ones."""
    timeout: Any = 20.0
    max_retries: int = 1
    model: str = MODEL
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """One way to ask.

    Args:
        name: What the table calls it.
        ask: Asks once, and puts what comes into a `Heard`.
        expected: What the whole answer to `reply` is.
        reply: Makes the answer, with faults.
        path: The path that it asks.

    """

    name: str
    ask: Callable[[Settings, Heard], Coroutine[Any, Any, None]]
    expected: Any
    reply: Callable[..., Reply]
    path: str = "chat/completions"
    streams: bool = False
    raises: bool = True
    """Whether a failure is an error; else it is a warning in the log and an older list."""


def rich(**faults: Any) -> Reply:
    """Answer with everything that an answer can have."""
    return Reply.text(TEXT, reasoning=REASONING, tool_calls=[CALL], **faults)


ANSWER = (TEXT, REASONING, [("call_1", "weather", ARGUMENTS)])


def _langchain() -> list[Subject]:
    from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings

    def model(given: Settings) -> Any:
        return ChatKiloCode(**_langchain_settings(given), model=given.model, **given.more)

    def read(message: Any) -> Any:
        thoughts = [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"]
        calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
        return message.text, "".join(thoughts), calls

    async def invoke(given: Settings, heard: Heard) -> None:
        heard.whole = read(model(given).invoke("Hi."))

    async def ainvoke(given: Settings, heard: Heard) -> None:
        heard.whole = read(await model(given).ainvoke("Hi."))

    async def stream(given: Settings, heard: Heard) -> None:
        total: Any = None
        for chunk in model(given).stream("Hi."):
            heard.pieces.append(chunk.text)
            total = chunk if total is None else total + chunk
        heard.whole = read(total)

    async def astream(given: Settings, heard: Heard) -> None:
        total: Any = None
        async for chunk in model(given).astream("Hi."):
            heard.pieces.append(chunk.text)
            total = chunk if total is None else total + chunk
        heard.whole = read(total)

    def embeddings(given: Settings) -> Any:
        return KiloCodeEmbeddings(**_langchain_settings(given))

    async def embed(given: Settings, heard: Heard) -> None:
        heard.whole = embeddings(given).embed_documents(INPUTS)

    async def aembed(given: Settings, heard: Heard) -> None:
        heard.whole = await embeddings(given).aembed_documents(INPUTS)

    return [
        Subject("LangChain invoke", invoke, ANSWER, rich),
        Subject("LangChain ainvoke", ainvoke, ANSWER, rich),
        Subject("LangChain stream", stream, ANSWER, rich, streams=True),
        Subject("LangChain astream", astream, ANSWER, rich, streams=True),
        Subject("LangChain embed", embed, None, Reply.ordinary, "embeddings"),
        Subject("LangChain aembed", aembed, None, Reply.ordinary, "embeddings"),
    ]


def _langchain_settings(given: Settings) -> dict[str, Any]:
    sync, asynchronous = given.clients
    return {
        "api_key": KEY,
        "base_url": given.base_url,
        "timeout": given.timeout,
        "max_retries": given.max_retries,
        "http_client": sync,
        "http_async_client": asynchronous,
    }


def _llama_index() -> list[Subject]:
    from llama_index.core.llms import ChatMessage

    from llama_index_kilocode import KiloCode, KiloCodeEmbedding

    messages = [ChatMessage(role="user", content="Hi.")]

    def llm(given: Settings) -> Any:
        return KiloCode(given.model, **_llama_index_settings(given), **given.more)

    def read(response: Any) -> Any:
        blocks = response.message.blocks
        texts = [block.text for block in blocks if block.block_type == "text"]
        thoughts = [block.content or "" for block in blocks if block.block_type == "thinking"]
        calls = [
            (block.tool_call_id, block.tool_name, json.loads(arguments) if isinstance(arguments, str) else arguments)
            for block in blocks
            if block.block_type == "tool_call"
            for arguments in [block.tool_kwargs]
        ]
        return "".join(texts), "".join(thoughts), calls

    async def chat(given: Settings, heard: Heard) -> None:
        heard.whole = read(llm(given).chat(messages))

    async def achat(given: Settings, heard: Heard) -> None:
        heard.whole = read(await llm(given).achat(messages))

    async def stream_chat(given: Settings, heard: Heard) -> None:
        response = None
        for response in llm(given).stream_chat(messages):
            heard.pieces.append(response.delta or "")
        heard.whole = read(response)

    async def astream_chat(given: Settings, heard: Heard) -> None:
        response = None
        async for response in await llm(given).astream_chat(messages):
            heard.pieces.append(response.delta or "")
        heard.whole = read(response)

    def embedding(given: Settings) -> Any:
        return KiloCodeEmbedding(**_llama_index_settings(given))

    async def embed(given: Settings, heard: Heard) -> None:
        heard.whole = embedding(given).get_text_embedding_batch(INPUTS)

    async def aembed(given: Settings, heard: Heard) -> None:
        heard.whole = await embedding(given).aget_text_embedding_batch(INPUTS)

    return [
        Subject("LlamaIndex chat", chat, ANSWER, rich),
        Subject("LlamaIndex achat", achat, ANSWER, rich),
        Subject("LlamaIndex stream_chat", stream_chat, ANSWER, rich, streams=True),
        Subject("LlamaIndex astream_chat", astream_chat, ANSWER, rich, streams=True),
        Subject("LlamaIndex embed", embed, None, Reply.ordinary, "embeddings"),
        Subject("LlamaIndex aembed", aembed, None, Reply.ordinary, "embeddings"),
    ]


def _llama_index_settings(given: Settings) -> dict[str, Any]:
    sync, asynchronous = given.clients
    return {
        "api_key": KEY,
        "api_base": given.base_url,
        "timeout": given.timeout,
        "max_retries": given.max_retries,
        "http_client": sync,
        "async_http_client": asynchronous,
    }


class _Warnings(logging.Handler):
    def __init__(self, heard: Heard) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.warnings += 1


def _catalog() -> list[Subject]:
    """The catalog: a failure is a warning in the log, and the bundled models."""

    def read(found: Catalog, heard: Heard) -> None:
        if found.source == "gateway":
            heard.whole = sorted(found)

    def place(given: Settings) -> dict[str, Any]:
        # Each asks for an organization of its own, so that none gets what another has found.
        seconds = given.timeout if isinstance(given.timeout, float) else 20.0
        return {
            "base_url": given.base_url,
            "api_key": KEY,
            "timeout": seconds,
            "organization_id": f"00000000-0000-4000-8000-{next(_organizations):012d}",
        }

    async def discover(given: Settings, heard: Heard) -> None:
        with _heard_warnings(heard):
            read(Catalog.discover(**place(given), http_client=given.clients[0]), heard)

    async def adiscover(given: Settings, heard: Heard) -> None:
        with _heard_warnings(heard):
            read(await Catalog.adiscover(**place(given), http_async_client=given.clients[1]), heard)

    return [
        Subject("catalog discover", discover, None, Reply.ordinary, "models", raises=False),
        Subject("catalog adiscover", adiscover, None, Reply.ordinary, "models", raises=False),
    ]


class _heard_warnings:  # noqa: N801 - used as a word
    def __init__(self, heard: Heard) -> None:
        self._handler = _Warnings(heard)
        self._log = logging.getLogger("kilocode_gateway")

    def __enter__(self) -> None:
        self._before = self._log.propagate
        self._log.addHandler(self._handler)
        self._log.propagate = False

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self._handler)
        self._log.propagate = self._before


FRAMEWORKS: dict[str, tuple[str | None, Callable[[], list[Subject]]]] = {
    "LangChain": ("langchain_openai", _langchain),
    "LlamaIndex": ("llama_index", _llama_index),
    "catalog": (None, _catalog),
}


def installed() -> list[str]:
    """Name the askers whose framework is installed."""
    return [name for name, (needs, _) in FRAMEWORKS.items() if needs is None or importlib.util.find_spec(needs)]


def subjects(framework: str) -> list[Subject]:
    """Give the askers of a framework."""
    return FRAMEWORKS[framework][1]()
