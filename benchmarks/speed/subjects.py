"""What is measured: classes by name and constructor arguments, and how each kind of them is asked.

Each kind gives the same ways to ask, so that one piece of work runs on all of them.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEY = "hidden"
MODEL = "anthropic/claude-sonnet-4.6"
LANGCHAIN = "langchain"
LLAMA_INDEX = "llama-index"


@dataclass(frozen=True, slots=True)
class Subject:
    """One column: a class, and the environment in which it is measured."""

    name: str
    environment: str
    kind: str
    path: str = ""
    """`module:Class`; nothing for the two clients."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """For the constructor; `{address}` stands for the base URL."""


_COMMON = {"model": MODEL, "api_key": KEY, "max_retries": 0}
SUBJECTS = (
    Subject("httpx", LANGCHAIN, "httpx"),
    Subject("openai", LANGCHAIN, "openai"),
    Subject(
        "ChatKiloCode", LANGCHAIN, LANGCHAIN, "langchain_kilocode:ChatKiloCode", {**_COMMON, "base_url": "{address}"}
    ),
    Subject("ChatOpenAI", LANGCHAIN, LANGCHAIN, "langchain_openai:ChatOpenAI", {**_COMMON, "base_url": "{address}"}),
    Subject(
        "ChatOpenRouter",
        LANGCHAIN,
        LANGCHAIN,
        "langchain_openrouter:ChatOpenRouter",
        {**_COMMON, "base_url": "{address}"},
    ),
    Subject(
        "ChatLiteLLM",
        "litellm",
        LANGCHAIN,
        "langchain_litellm:ChatLiteLLM",
        {"model": f"openai/{MODEL}", "api_key": KEY, "max_retries": 0, "api_base": "{address}"},
    ),
    Subject("httpx in LlamaIndex", LLAMA_INDEX, "httpx"),
    Subject("openai 2", LLAMA_INDEX, "openai"),
    Subject(
        "KiloCode", LLAMA_INDEX, LLAMA_INDEX, "llama_index_kilocode:KiloCode", {**_COMMON, "api_base": "{address}"}
    ),
    Subject(
        "OpenAILike",
        LLAMA_INDEX,
        LLAMA_INDEX,
        "llama_index.llms.openai_like:OpenAILike",
        {**_COMMON, "api_base": "{address}", "is_chat_model": True, "is_function_calling_model": True},
    ),
    Subject(
        "OpenRouter",
        "openrouter",
        LLAMA_INDEX,
        "llama_index.llms.openrouter:OpenRouter",
        {**_COMMON, "api_base": "{address}"},
    ),
)
BY_NAME = {subject.name: subject for subject in SUBJECTS}


class HTTPX:
    """The limit: the bytes through an HTTP client, and json; nothing is checked and nothing made of it."""

    def __init__(self, _: Subject, address: str) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {KEY}"}
        self._address = f"{address}/chat/completions"
        self._client = httpx.Client(headers=headers, timeout=60)
        self._aclient = httpx.AsyncClient(headers=headers, timeout=60)

    def conversation(self, turns: list[tuple[str, str]]) -> Any:
        """Give a conversation in this kind's form."""
        return [{"role": role, "content": text} for role, text in turns]

    def picture(self, data: str) -> Any:
        """Give a question about a picture, in base64."""
        url = {"url": f"data:image/png;base64,{data}"}
        content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
        return [{"role": "user", "content": content}]

    def ask(self, asked: Any) -> Any:
        """Ask for a whole answer."""
        answer = self._client.post(self._address, json={"model": MODEL, "messages": asked})
        return json.loads(answer.content)

    async def aask(self, asked: Any) -> Any:
        """Ask for a whole answer, async."""
        answer = await self._aclient.post(self._address, json={"model": MODEL, "messages": asked})
        return json.loads(answer.content)

    def stream(self, asked: Any) -> Iterator[Any]:
        """Ask for an answer in pieces."""
        body = {"model": MODEL, "messages": asked, "stream": True}
        with self._client.stream("POST", self._address, json=body) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])

    async def astream(self, asked: Any) -> AsyncIterator[Any]:
        """Ask for an answer in pieces, async."""
        body = {"model": MODEL, "messages": asked, "stream": True}
        async with self._aclient.stream("POST", self._address, json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])


class OpenAI(HTTPX):
    """The bare openai client."""

    def __init__(self, _: Subject, address: str) -> None:
        import openai

        self._sync = openai.OpenAI(base_url=address, api_key=KEY, max_retries=0)
        self._async = openai.AsyncOpenAI(base_url=address, api_key=KEY, max_retries=0)

    def ask(self, asked: Any) -> Any:
        """Ask for a whole answer."""
        return self._sync.chat.completions.create(model=MODEL, messages=asked)

    async def aask(self, asked: Any) -> Any:
        """Ask for a whole answer, async."""
        return await self._async.chat.completions.create(model=MODEL, messages=asked)

    def stream(self, asked: Any) -> Iterator[Any]:
        """Ask for an answer in pieces."""
        return iter(self._sync.chat.completions.create(model=MODEL, messages=asked, stream=True))

    async def astream(self, asked: Any) -> AsyncIterator[Any]:
        """Ask for an answer in pieces, async."""
        async for chunk in await self._async.chat.completions.create(model=MODEL, messages=asked, stream=True):
            yield chunk


class _Model:
    def __init__(self, subject: Subject, address: str) -> None:
        module, _, name = subject.path.partition(":")
        self._class = getattr(importlib.import_module(module), name)
        self._arguments = {key: address if value == "{address}" else value for key, value in subject.arguments.items()}
        self.model = self.another()

    def another(self) -> Any:
        """Make one more object with the same settings."""
        return self._class(**self._arguments)


class LangChain(_Model):
    """A chat model of LangChain."""

    def conversation(self, turns: list[tuple[str, str]]) -> Any:
        """Give a conversation in this kind's form."""
        from langchain_core.messages import AIMessage, HumanMessage

        return [(HumanMessage if role == "user" else AIMessage)(text) for role, text in turns]

    def picture(self, data: str) -> Any:
        """Give a question about a picture, in base64."""
        from langchain_core.messages import HumanMessage

        url = {"url": f"data:image/png;base64,{data}"}
        return [HumanMessage([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}])]

    def ask(self, asked: Any) -> Any:
        """Ask for a whole answer."""
        return self.model.invoke(asked)

    async def aask(self, asked: Any) -> Any:
        """Ask for a whole answer, async."""
        return await self.model.ainvoke(asked)

    def stream(self, asked: Any) -> Iterator[Any]:
        """Ask for an answer in pieces."""
        found: Iterator[Any] = self.model.stream(asked)
        return found

    def astream(self, asked: Any) -> AsyncIterator[Any]:
        """Ask for an answer in pieces, async."""
        found: AsyncIterator[Any] = self.model.astream(asked)
        return found

    def events(self, asked: Any) -> Iterator[Any]:
        """Ask for the events of an answer."""
        found: Iterator[Any] = iter(self.model.stream_events(asked, version="v3"))
        return found

    def total(self, asked: Any) -> Any:
        """Add an answer's pieces up, one by one, as programs do that show them meanwhile."""
        pieces = self.stream(asked)
        added = next(pieces)
        for piece in pieces:
            added = added + piece
        return added


class LlamaIndex(_Model):
    """An LLM of LlamaIndex."""

    def conversation(self, turns: list[tuple[str, str]]) -> Any:
        """Give a conversation in this kind's form."""
        from llama_index.core.llms import ChatMessage

        return [ChatMessage(role=role, content=text) for role, text in turns]

    def picture(self, data: str) -> Any:
        """Give a question about a picture, in base64."""
        from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock

        image = ImageBlock.model_construct(
            block_type="image", image=data.encode(), path=None, url=None, image_mimetype="image/png", detail=None
        )
        return [ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), image])]

    def ask(self, asked: Any) -> Any:
        """Ask for a whole answer."""
        return self.model.chat(asked)

    async def aask(self, asked: Any) -> Any:
        """Ask for a whole answer, async."""
        return await self.model.achat(asked)

    def stream(self, asked: Any) -> Iterator[Any]:
        """Ask for an answer in pieces."""
        found: Iterator[Any] = self.model.stream_chat(asked)
        return found

    async def astream(self, asked: Any) -> AsyncIterator[Any]:
        """Ask for an answer in pieces, async."""
        async for piece in await self.model.astream_chat(asked):
            yield piece

    async def aevents(self, asked: Any) -> AsyncIterator[Any]:
        """Ask for the events of an agent that answers."""
        asked = asked[-1].content
        from llama_index.core.agent.workflow import FunctionAgent

        handler = FunctionAgent(llm=self.model, tools=[]).run(asked)
        async for event in handler.stream_events():
            yield event
        await handler


KINDS: dict[str, Any] = {"httpx": HTTPX, "openai": OpenAI, LANGCHAIN: LangChain, LLAMA_INDEX: LlamaIndex}


def make(subject: Subject, address: str) -> Any:
    """Give a subject's object that asks at that address."""
    return KINDS[subject.kind](subject, address)
