"""The ways to ask, in both frameworks: each takes a prompt and gives what it heard, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.llms import ChatMessage

from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings
from llama_index_kilocode import KiloCode, KiloCodeEmbedding
from tests.soak.fates import DIMENSIONS, EMBEDDING_MODEL, MODEL, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

KEY = "canary-7f3a-key"
PATIENT: dict[str, Any] = {"timeout": (60.0, 90.0), "max_retries": 1}
HASTY: dict[str, Any] = {"timeout": 0.3, "max_retries": 0}


class Objects:
    """The four objects that all threads and tasks share."""

    def __init__(self, base_url: str, settings: dict[str, Any]) -> None:
        of_langchain: dict[str, Any] = {"api_key": KEY, "base_url": base_url, **settings}
        of_llama_index: dict[str, Any] = {"api_key": KEY, "api_base": base_url, **settings}
        self.chat = ChatKiloCode(model=MODEL, **of_langchain)
        self.embeddings = KiloCodeEmbeddings(model=EMBEDDING_MODEL, dimensions=DIMENSIONS, **of_langchain)
        self.llm = KiloCode(MODEL, **of_llama_index)
        self.embedding = KiloCodeEmbedding(EMBEDDING_MODEL, dimensions=DIMENSIONS, **of_llama_index)


@dataclass(frozen=True, slots=True)
class Asker:
    """One way to ask; how often it is drawn is its weight."""

    name: str
    kind: Kind
    ask: Callable[[Objects, str], Any]
    """Gives an iterator of text, sync or async, or of one vector."""
    weight: int = 4


def _messages(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=prompt)]


def invoke(objects: Objects, prompt: str) -> Iterator[str]:
    yield objects.chat.invoke(prompt).text


def stream(objects: Objects, prompt: str) -> Iterator[str]:
    for chunk in objects.chat.stream(prompt):
        yield chunk.text


def chat(objects: Objects, prompt: str) -> Iterator[str]:
    yield objects.llm.chat(_messages(prompt)).message.content or ""


def stream_chat(objects: Objects, prompt: str) -> Iterator[str]:
    for response in objects.llm.stream_chat(_messages(prompt)):
        yield response.delta or ""


def embed(objects: Objects, prompt: str) -> Iterator[list[float]]:
    yield objects.embeddings.embed_query(prompt)


def get_embedding(objects: Objects, prompt: str) -> Iterator[list[float]]:
    yield objects.embedding.get_text_embedding(prompt)


async def ainvoke(objects: Objects, prompt: str) -> AsyncIterator[str]:
    yield (await objects.chat.ainvoke(prompt)).text


async def astream(objects: Objects, prompt: str) -> AsyncIterator[str]:
    async for chunk in objects.chat.astream(prompt):
        yield chunk.text


async def achat(objects: Objects, prompt: str) -> AsyncIterator[str]:
    yield (await objects.llm.achat(_messages(prompt))).message.content or ""


async def astream_chat(objects: Objects, prompt: str) -> AsyncIterator[str]:
    async for response in await objects.llm.astream_chat(_messages(prompt)):
        yield response.delta or ""


async def aembed(objects: Objects, prompt: str) -> AsyncIterator[list[float]]:
    yield await objects.embeddings.aembed_query(prompt)


async def aget_embedding(objects: Objects, prompt: str) -> AsyncIterator[list[float]]:
    yield await objects.embedding.aget_text_embedding(prompt)


SYNC = [
    Asker("invoke", "chat", invoke),
    Asker("stream", "stream", stream),
    Asker("chat", "chat", chat),
    Asker("stream_chat", "stream", stream_chat),
    Asker("embed_query", "embedding", embed, 1),
    Asker("get_text_embedding", "embedding", get_embedding, 1),
]
ASYNC = [
    Asker("ainvoke", "chat", ainvoke),
    Asker("astream", "stream", astream),
    Asker("achat", "chat", achat),
    Asker("astream_chat", "stream", astream_chat),
    Asker("aembed_query", "embedding", aembed, 1),
    Asker("aget_text_embedding", "embedding", aget_embedding, 1),
]
