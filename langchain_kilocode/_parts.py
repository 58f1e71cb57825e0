"""Turns the content blocks of a message, in any form that LangChain users write, into the parts of the wire."""

from __future__ import annotations

import base64
import binascii
from types import NoneType
from typing import TYPE_CHECKING, Any

from langchain_kilocode.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ELSEWHERE = frozenset(
    {
        "bash_code_execution_tool_result",
        "code_execution_result",
        "code_execution_tool_result",
        "code_interpreter_call",
        "executable_code",
        "file_search_call",
        "function_call",
        "image_generation_call",
        "input_json_delta",
        "invalid_tool_call",
        "mcp_call",
        "mcp_list_tools",
        "mcp_tool_result",
        "mcp_tool_use",
        "reasoning",
        "reasoning_content",
        "redacted_thinking",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "thinking",
        "tool_call",
        "tool_call_chunk",
        "tool_use",
        "web_fetch_tool_result",
        "web_search_call",
        "web_search_tool_result",
    }
)
"""Blocks that are no content on the wire: they go back as other fields of the message, or not at all."""

_AUDIO_FORMATS = {
    "mpeg": "mp3",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "mp4": "m4a",
    "x-m4a": "m4a",
    "x-aiff": "aiff",
    "x-flac": "flac",
}


def check_content(content: object) -> None:
    """Refuse content of a form that nothing here could read.

    Raises:
        ConfigurationError: If it is neither text nor a list of texts and blocks.

    """
    if isinstance(content, str):
        return
    if not isinstance(content, (list, tuple)):
        msg = f"The content of a message must be a string or a list of blocks, got {_kind(content)}."
        raise ConfigurationError(msg)
    for block in content:
        if isinstance(block, str):
            continue
        if not isinstance(block, dict):
            msg = (
                f"A content block must be a string, or a dict such as {{'type': 'text', 'text': ...}}, "
                f"got {_kind(block)}."
            )
            raise ConfigurationError(msg)
        for name, example in (("type", "'text' or 'image'"), ("id", "'call_1'")):
            if not isinstance(block.get(name), (str, NoneType)):
                msg = f"The {name!r} of a content block must be a string such as {example}, got {block[name]!r:.80}."
                raise ConfigurationError(msg)


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def to_parts(content: Iterable[str | dict[Any, Any]]) -> list[dict[str, Any]]:
    """Give the content parts of a message.

    Raises:
        ConfigurationError: If a block holds no data that can be sent.

    """
    parts = []
    for block in content:
        part = {"type": "text", "text": block} if isinstance(block, str) else _part(block)
        if part is not None:
            parts.append(part)
    return parts


def can_be_sent(block: dict[Any, Any]) -> bool:
    """Say whether a block can become a part."""
    try:
        to_parts([block])
    except ConfigurationError:
        return False
    return True


def plain_text(parts: list[dict[str, Any]]) -> str | None:
    """Give the text of parts that are text and nothing else; None for any others."""
    if all(part.get("type") == "text" and len(part) == 2 for part in parts):  # noqa: PLR2004 - type and text
        return "".join(part["text"] for part in parts)
    return None


def _part(block: dict[Any, Any]) -> dict[str, Any] | None:
    kind = block.get("type")
    if kind == "non_standard" and isinstance(block.get("value"), dict):
        check_content([block["value"]])
        return _part(block["value"])
    if kind in _ELSEWHERE:
        return None
    if kind is None and "text" in block:
        kind = "text"
    convert = _CONVERTERS.get(str(kind))
    if convert is None:
        return {name: value for name, value in block.items() if name != "index"}
    part = convert(block)
    cache_control = block.get("cache_control") or _extras(block).get("cache_control")
    if cache_control is not None:
        part["cache_control"] = cache_control
    return part


def _text(block: dict[Any, Any]) -> dict[str, Any]:
    return _said(block, "text")


def _refusal(block: dict[Any, Any]) -> dict[str, Any]:
    return _said(block, "refusal")


def _said(block: dict[Any, Any], field: str) -> dict[str, Any]:
    text = block.get(field) or ""
    if not isinstance(text, str):
        msg = f"The {field!r} of a content block must be a string, got {type(text).__name__}."
        raise ConfigurationError(msg)
    return {"type": "text", "text": text}


def _image(block: dict[Any, Any]) -> dict[str, Any]:
    if "image_url" in block:
        given = block["image_url"]
        return {"type": "image_url", "image_url": {"url": given} if isinstance(given, str) else given}
    image = {"url": _url(block, "image", "image/png")}
    detail = block.get("detail") or _extras(block).get("detail")
    if detail is not None:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _file(block: dict[Any, Any]) -> dict[str, Any]:
    if isinstance(block.get("file"), dict):
        return {"type": "file", "file": block["file"]}
    text = _words(block)
    if text is not None:
        return {"type": "text", "text": text}
    url = _url(block, "file", "application/pdf")
    name = (
        block.get("filename")
        or block.get("title")
        or _extras(block).get("filename")
        or dict_at(block, "metadata").get("filename")
    )
    if not name:
        last = "" if url.startswith("data:") else url.split("?")[0].split("#")[0].rstrip("/").rsplit("/", 1)[-1]
        name = last if "." in last else "document.pdf" if "pdf" in _mime(block, url) else "document"
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _words(block: dict[Any, Any]) -> str | None:
    """Give the text of a file that is text, in Anthropic's or LangChain's forms: every model reads it as text."""
    source = _source(block)
    text = block.get("text") or (source.get("data") if source.get("type") == "text" else None)
    if text is None and _mime(block, "").startswith("text/"):
        data = _data(block)
        text = _decoded(data) if data else None
    return text if isinstance(text, str) else None


def _audio(block: dict[Any, Any]) -> dict[str, Any]:
    if isinstance(block.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": block["input_audio"]}
    data, url = _data(block), block.get("url")
    if not data and isinstance(url, str) and url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        block = {"mime_type": head.partition(";")[0], **block}
    if not data:
        msg = (
            "Audio must come as base64 data: upstreams behind the gateway take none by URL. "
            "Load it and give it as {'type': 'audio', 'base64': ..., 'mime_type': 'audio/wav'}."
        )
        raise ConfigurationError(msg)
    subtype = (_mime(block, "") or "audio/wav").split(";")[0].split("/")[-1]
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS.get(subtype, subtype)}}


def _video(block: dict[Any, Any]) -> dict[str, Any]:
    if "video_url" in block:
        given = block["video_url"]
        return {"type": "video_url", "video_url": {"url": given} if isinstance(given, str) else given}
    return {"type": "video_url", "video_url": {"url": _url(block, "video", "video/mp4")}}


def _media(block: dict[Any, Any]) -> dict[str, Any]:
    """Read Google's `media`, whose MIME type says what it is."""
    family = _mime(block, "").split("/")[0]
    return {"image": _image, "audio": _audio, "video": _video}.get(family, _file)(block)


_CONVERTERS: dict[str, Callable[[dict[Any, Any]], dict[str, Any]]] = {
    "audio": _audio,
    "document": _file,
    "file": _file,
    "image": _image,
    "image_url": _image,
    "input_audio": _audio,
    "input_image": _image,
    "input_text": _text,
    "media": _media,
    "output_text": _text,
    "refusal": _refusal,
    "text": _text,
    "text-plain": _file,
    "video": _video,
    "video_url": _video,
}


def _extras(block: dict[Any, Any]) -> dict[str, Any]:
    return dict_at(block, "extras")


def dict_at(block: dict[Any, Any], field: Any) -> dict[Any, Any]:
    """Give the dict that stands in a field; an empty one where something else stands there."""
    value = block.get(field)
    return value if isinstance(value, dict) else {}


def _source(block: dict[Any, Any]) -> dict[Any, Any]:
    """Give the part of Anthropic's blocks that holds the data."""
    return dict_at(block, "source")


def _data(block: dict[Any, Any]) -> str | None:
    source = _source(block)
    data = block.get("base64") or block.get("data") or source.get("data")
    if isinstance(data, bytes):
        return base64.b64encode(data).decode("ascii")
    return data if isinstance(data, str) else None


def _mime(block: dict[Any, Any], url: str) -> str:
    source = _source(block)
    mime = block.get("mime_type") or block.get("media_type") or source.get("media_type")
    if isinstance(mime, str) and mime:
        return mime
    if url.startswith("data:"):
        return url[5:].partition(",")[0].partition(";")[0]
    return "application/pdf" if url.partition("?")[0].lower().endswith(".pdf") else ""


def _url(block: dict[Any, Any], what: str, default_mime: str) -> str:
    source = _source(block)
    url = block.get("url") or source.get("url")
    if isinstance(url, str):
        return url
    data = _data(block)
    if data:
        return f"data:{_mime(block, '') or default_mime};base64,{data}"
    msg = (
        f"The {what} block has nothing to send; its fields are {', '.join(map(str, block)) or 'none'}. "
        f"Give it a 'url', or 'base64' with a 'mime_type'. Uploaded files ('file_id') do not exist on this gateway."
    )
    raise ConfigurationError(msg)


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
