"""Gives the standard content blocks of messages from the gateway, through langchain-core's registry of translators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages.block_translators import register_translator

from langchain_kilocode._messages import CALL_EXTRAS, REASONING_KEYS
from langchain_kilocode._replies import PROVIDER

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages import content as types

_CITATION = ("url", "title", "start_index", "end_index")


def register_blocks() -> None:
    """Make LangChain read our messages' `content_blocks` here. Doing it twice changes nothing."""
    register_translator(PROVIDER, translate, translate_chunk)


def translate(message: AIMessage) -> list[types.ContentBlock]:
    """Give the blocks of a whole message: reasoning, text with its citations, images, tool calls."""
    blocks = _blocks(message)
    extras = message.additional_kwargs.get(CALL_EXTRAS) or {}
    for call in message.tool_calls:
        block: dict[str, Any] = {"type": "tool_call", "name": call["name"], "args": call["args"], "id": call["id"]}
        if call["id"] in extras:
            block["extras"] = extras[call["id"]]
        blocks.append(block)
    return cast("list[types.ContentBlock]", blocks)


def translate_chunk(message: AIMessageChunk) -> list[types.ContentBlock]:
    """Give the blocks of a chunk. Each has an `index` that tells which of the message's blocks it continues.

    Without one, LangChain numbers blocks itself, and a tool call and a text would get the same number.
    """
    if message.chunk_position == "last" and (
        message.content or any(piece["name"] for piece in message.tool_call_chunks)
    ):
        # The sum of a stream: its last piece has no text, and names no tool.
        return translate(message)
    blocks = _blocks(message)
    for number, block in enumerate(blocks):
        block["index"] = (
            f"lc_{block['type']}" if block["type"] in ("reasoning", "text") else f"lc_{block['type']}_{number}"
        )
    extras = message.additional_kwargs.get(CALL_EXTRAS) or {}
    for piece in message.tool_call_chunks:
        block = {"type": "tool_call_chunk", "id": piece["id"], "name": piece["name"], "args": piece["args"]}
        if piece["id"] in extras:
            block["extras"] = extras[piece["id"]]
        if piece.get("index") is not None:
            block["index"] = f"lc_tool_call_{piece['index']}"
        blocks.append(block)
    return cast("list[types.ContentBlock]", blocks)


def _blocks(message: AIMessage) -> list[dict[str, Any]]:
    if not isinstance(message.content, str):
        # Written by a user, or standard blocks already: langchain-core reads them.
        raise NotImplementedError
    extra = message.additional_kwargs
    blocks = [_reasoning(extra)] if extra.get("reasoning_content") or extra.get(REASONING_KEYS) else []
    citations = [_citation(annotation) for annotation in extra.get("annotations") or ()]
    if message.content or citations:
        text: dict[str, Any] = {"type": "text", "text": message.content}
        if citations:
            text["annotations"] = citations
        blocks.append(text)
    blocks += [_image(image) for image in extra.get("images") or ()]
    return blocks


def _reasoning(extra: dict[str, Any]) -> dict[str, Any]:
    """Give the readable text, with everything beside it that must go back to the model."""
    block: dict[str, Any] = {"type": "reasoning", "reasoning": extra.get("reasoning_content") or ""}
    extras = {name: extra[name] for name in (REASONING_KEYS, "reasoning_details") if name in extra}
    if extras:
        block["extras"] = extras
    return block


def _citation(annotation: dict[str, Any]) -> dict[str, Any]:
    # OpenAI nests what is said about the page, some upstreams do not.
    source = annotation.get("url_citation", annotation)
    if annotation.get("type") != "url_citation" or not isinstance(source, dict):
        return {"type": "non_standard_annotation", "value": annotation}
    citation = {"type": "citation", **{name: source[name] for name in _CITATION if source.get(name) is not None}}
    if source.get("content"):
        citation["cited_text"] = source["content"]
    return citation


def _image(image: dict[str, Any]) -> dict[str, Any]:
    given = image.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        return {"type": "non_standard", "value": image}
    head, comma, data = url.partition(",")
    if url.startswith("data:") and comma and head.endswith(";base64"):
        return {"type": "image", "base64": data, "mime_type": head[5:].split(";")[0]}
    return {"type": "image", "url": url}
