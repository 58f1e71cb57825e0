"""The askers of LlamaIndex."""

from __future__ import annotations

import json
from typing import Any

from llama_index.core.llms import ChatMessage

from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode, KiloCodeEmbedding
from tests.faults.asking import ANSWER, INPUTS, KEY, Heard, Settings, Subject, rich

MESSAGES = [ChatMessage(role="user", content="Hi.")]


def _settings(given: Settings) -> dict[str, Any]:
    sync, asynchronous = given.clients
    return {
        "api_key": KEY,
        "api_base": given.base_url,
        "timeout": given.timeout,
        "max_retries": given.max_retries,
        "http_client": sync,
        "async_http_client": asynchronous,
    }


def _llm(given: Settings) -> KiloCode:
    return KiloCode(given.model, **_settings(given), **given.more)


def _read(response: Any) -> Any:
    blocks = response.message.blocks
    texts = [block.text for block in blocks if block.block_type == "text"]
    thoughts = [block.content or "" for block in blocks if block.block_type == "thinking"]
    calls = [
        (block.tool_call_id, block.tool_name, _arguments(block.tool_kwargs))
        for block in blocks
        if block.block_type == "tool_call"
    ]
    return "".join(texts), "".join(thoughts), calls


def _arguments(given: Any) -> Any:
    return json.loads(given) if isinstance(given, str) else given


async def chat(given: Settings, heard: Heard) -> None:
    heard.whole = _read(_llm(given).chat(MESSAGES))


async def achat(given: Settings, heard: Heard) -> None:
    heard.whole = _read(await _llm(given).achat(MESSAGES))


async def stream_chat(given: Settings, heard: Heard) -> None:
    response = None
    for response in _llm(given).stream_chat(MESSAGES):
        heard.pieces.append(response.delta or "")
    heard.whole = _read(response)


async def astream_chat(given: Settings, heard: Heard) -> None:
    response = None
    async for response in await _llm(given).astream_chat(MESSAGES):
        heard.pieces.append(response.delta or "")
    heard.whole = _read(response)


def _embedding(given: Settings) -> KiloCodeEmbedding:
    return KiloCodeEmbedding(dimensions=4, **_settings(given))


async def embed(given: Settings, heard: Heard) -> None:
    heard.whole = _embedding(given).get_text_embedding_batch(INPUTS)


async def aembed(given: Settings, heard: Heard) -> None:
    heard.whole = await _embedding(given).aget_text_embedding_batch(INPUTS)


SUBJECTS = [
    Subject("LlamaIndex chat", chat, ANSWER, rich),
    Subject("LlamaIndex achat", achat, ANSWER, rich),
    Subject("LlamaIndex stream_chat", stream_chat, ANSWER, rich, streams=True),
    Subject("LlamaIndex astream_chat", astream_chat, ANSWER, rich, streams=True),
    Subject("LlamaIndex embed", embed, None, Reply.ordinary, "embeddings"),
    Subject("LlamaIndex aembed", aembed, None, Reply.ordinary, "embeddings"),
]
