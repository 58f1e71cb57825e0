"""The askers of LangChain."""

from __future__ import annotations

from typing import Any

from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings
from tests.faults.asking import ANSWER, INPUTS, KEY, Heard, Settings, Subject, rich


def _settings(given: Settings) -> dict[str, Any]:
    sync, asynchronous = given.clients
    return {
        "api_key": KEY,
        "base_url": given.base_url,
        "timeout": given.timeout,
        "max_retries": given.max_retries,
        "http_client": sync,
        "http_async_client": asynchronous,
    }


def _model(given: Settings) -> ChatKiloCode:
    return ChatKiloCode(**_settings(given), model=given.model, **given.more)


def _read(message: Any) -> Any:
    thoughts = [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"]
    calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    return message.text, "".join(thoughts), calls


async def invoke(given: Settings, heard: Heard) -> None:
    heard.whole = _read(_model(given).invoke("Hi."))


async def ainvoke(given: Settings, heard: Heard) -> None:
    heard.whole = _read(await _model(given).ainvoke("Hi."))


async def stream(given: Settings, heard: Heard) -> None:
    total: Any = None
    for chunk in _model(given).stream("Hi."):
        heard.pieces.append(chunk.text)
        total = chunk if total is None else total + chunk
    heard.whole = _read(total)


async def astream(given: Settings, heard: Heard) -> None:
    total: Any = None
    async for chunk in _model(given).astream("Hi."):
        heard.pieces.append(chunk.text)
        total = chunk if total is None else total + chunk
    heard.whole = _read(total)


def _embeddings(given: Settings) -> KiloCodeEmbeddings:
    return KiloCodeEmbeddings(dimensions=4, **_settings(given))


async def embed(given: Settings, heard: Heard) -> None:
    heard.whole = _embeddings(given).embed_documents(INPUTS)


async def aembed(given: Settings, heard: Heard) -> None:
    heard.whole = await _embeddings(given).aembed_documents(INPUTS)


SUBJECTS = [
    Subject("LangChain invoke", invoke, ANSWER, rich),
    Subject("LangChain ainvoke", ainvoke, ANSWER, rich),
    Subject("LangChain stream", stream, ANSWER, rich, streams=True),
    Subject("LangChain astream", astream, ANSWER, rich, streams=True),
    Subject("LangChain embed", embed, None, Reply.ordinary, "embeddings"),
    Subject("LangChain aembed", aembed, None, Reply.ordinary, "embeddings"),
]
