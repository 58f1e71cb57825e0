"""Chat messages of LlamaIndex as the message dicts that travel to the gateway; nothing given is changed."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPLAY_KEYS: dict[str, type] = {"reasoning": str, "reasoning_content": str, "reasoning_details": list}
"""The fields of an assistant message that carry its reasoning back. Upstream, signed thinking must not be changed."""

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}

_PLACEHOLDER_TITLE = "input_document"  # what the framework puts where a document has no title
_MAGIC = (
    (b"%PDF", "application/pdf"),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "vnd.wave": "wav", "mp4": "m4a"}
"""What an audio mimetype's second half is called where it is not the format's name itself."""


def conversation(messages: object) -> list[ChatMessage]:
    """Give the messages as a list.

    Raises:
        ConfigurationError: If they are something else. The framework's own error would be about its events.

    """
    if isinstance(messages, (str, bytes, Mapping, ChatMessage)) or not isinstance(messages, Iterable):
        raise _no_conversation(type(messages).__name__)
    found = list(messages)
    for one in found:
        if not isinstance(one, ChatMessage):
            raise _no_conversation(f"{type(one).__name__} in it")
    return found


def _no_conversation(got: str) -> ConfigurationError:
    return ConfigurationError(
        f"messages must be a list of ChatMessage, got {got}. "
        'Write [ChatMessage(role="user", content="...")], or call complete(), which takes a string.'
    )


def to_wire(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """Give the messages as dicts, in the shape that the gateway takes.

    A text-only message has its text (`message.content`) as content; any other has a list of parts. A `CachePoint`
    becomes `cache_control` on the part before it, which may be the end of a message before.

    Args:
        messages: The conversation, in order.

    Raises:
        ConfigurationError: If a block cannot be sent, such as audio by URL, or a tool's result does not say to which
            call it belongs.

    """
    wire: list[dict[str, Any]] = []
    for message in messages:
        blocks = message.blocks
        role = _ROLES[message.role]
        if len(blocks) == 1 and type(blocks[0]) is TextBlock and not message.additional_kwargs and role != "tool":
            wire.append({"role": role, "content": blocks[0].text})
        else:
            wire.append(_message(message, wire))
    return wire


def _message(message: ChatMessage, earlier: Sequence[dict[str, Any]]) -> dict[str, Any]:
    role = _ROLES[message.role]
    extra = message.additional_kwargs
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[ThinkingBlock] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            calls.append(_tool_call(block, extra))
        elif isinstance(block, ThinkingBlock):
            thoughts.append(block)
        elif isinstance(block, CachePoint):
            _mark(parts, earlier, _cache_control(block))
        else:
            parts.extend(_parts(block, role))
    if isinstance(extra.get("cache_control"), dict):
        _mark(parts, (), dict(extra["cache_control"]))
    wire: dict[str, Any] = {"role": role, "content": _content(parts)}
    if isinstance(name := extra.get("name"), str) and name:
        wire["name"] = name
    if role == "tool":
        wire["tool_call_id"] = _call_id(extra, position=len(earlier) + 1)
    elif role == "assistant":
        wire.update(_replay(thoughts, extra))
        if calls := calls or _legacy_calls(extra):
            wire["tool_calls"] = calls
            wire["content"] = wire["content"] or None
    return wire


def _call_id(extra: dict[str, Any], *, position: int) -> str:
    if extra.get("tool_call_id"):
        return str(extra["tool_call_id"])
    msg = (
        f"Message {position} is a tool's result and does not say to which call it belongs, which every provider asks "
        'for. Give additional_kwargs={"tool_call_id": ...} with the id of the call, or the role "user".'
    )
    raise ConfigurationError(msg)


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if all(part["type"] == "text" and len(part) == 2 for part in parts):  # noqa: PLR2004 - nothing but type and text
        return "\n".join(part["text"] for part in parts)
    return parts


def _mark(parts: list[dict[str, Any]], earlier: Sequence[dict[str, Any]], control: dict[str, Any]) -> None:
    """Mark the last part that can be: providers refuse a mark on an empty text, and tool calls have no parts."""
    if _mark_last(parts, control):
        return
    for message in reversed(earlier):
        content = message["content"]
        found = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if _mark_last(found, control):
            message["content"] = found
            return


def _mark_last(parts: list[dict[str, Any]], control: dict[str, Any]) -> bool:
    last = next((part for part in reversed(parts) if part["type"] != "text" or part["text"]), None)
    if last is not None:
        last["cache_control"] = control
    return last is not None


def _cache_control(block: CachePoint) -> dict[str, Any]:
    control: dict[str, Any] = block.cache_control.model_dump(exclude_none=True)
    if control.get("ttl") == "5m":  # the framework's default and every provider's: leaving it out says the same
        del control["ttl"]
    return control


def _replay(thoughts: list[ThinkingBlock], extra: dict[str, Any]) -> dict[str, Any]:
    """Give the reasoning fields of an assistant message, exactly as they came."""
    replay: dict[str, Any] = {}
    for block in thoughts:
        known = _reasoning_in(block.additional_information)
        if not known and block.content:
            known = {"reasoning": block.content}
        for key, value in known.items():
            replay[key] = replay[key] + value if key in replay else value
    return replay or _reasoning_in(extra)


def _reasoning_in(fields: dict[str, Any]) -> dict[str, Any]:
    """Give the reasoning fields; other services keep things of other forms under these names."""
    return {key: value for key, kind in REPLAY_KEYS.items() if isinstance(value := fields.get(key), kind) and value}


def _tool_call(block: ToolCallBlock, extra: dict[str, Any]) -> dict[str, Any]:
    arguments = _arguments_text(block)
    # The block has no room for what else came with a call, such as Gemini's signature: it stands beside.
    beside = (call for call in _listed(extra) if isinstance(call, dict))
    return {
        **next((call for call in beside if call.get("id") == block.tool_call_id), {}),
        "id": block.tool_call_id or "",
        "type": "function",
        "function": {"name": block.tool_name, "arguments": arguments or "{}"},
    }


def _arguments_text(block: ToolCallBlock) -> str:
    given = block.tool_kwargs
    if isinstance(given, str):
        return given
    try:
        return json.dumps(given, ensure_ascii=False)
    except (TypeError, ValueError) as exc:
        wrong = str(exc)
    raise ConfigurationError(
        f"The arguments of the call of {block.tool_name!r} in a message cannot be sent, as they are no JSON: {wrong}. "
        "Give dates as strings and sets as lists."
    )


def _legacy_calls(extra: dict[str, Any]) -> list[dict[str, Any]]:
    """Read calls from where LlamaIndex kept them before it had blocks: dicts, or objects of the openai package."""
    calls = _listed(extra)
    found = [call.model_dump(exclude_none=True) if hasattr(call, "model_dump") else call for call in calls]
    return [call for call in found if isinstance(call, dict)]


def _listed(extra: dict[str, Any]) -> list[Any]:
    calls = extra.get("tool_calls")
    return calls if isinstance(calls, list) else []


def _parts(block: Any, role: str) -> list[dict[str, Any]]:
    make = next((_MAKERS[kind] for kind in type(block).__mro__ if kind in _MAKERS), None)
    if make is not None:
        return [make(block)]
    if isinstance(block, CitableBlock):
        head = {"type": "text", "text": f"Title: {block.title}\nSource: {block.source}"}
        return [head, *(part for inner in block.content for part in _parts(inner, role))]
    if isinstance(block, CitationBlock):
        # In an answer it annotates text that stands there already; anywhere else it is content.
        return [] if role == "assistant" else _parts(block.cited_content, role)
    kind = type(block).__name__
    msg = f"A {kind} cannot be sent to the gateway: it takes text, images, documents, audio and video. Leave it out."
    raise ConfigurationError(msg)


def _text(block: TextBlock) -> dict[str, Any]:
    return {"type": "text", "text": block.text}


def _url(block: ImageBlock | VideoBlock | DocumentBlock | AudioBlock) -> str:
    """Give a block's URL, an empty text where it has none."""
    url = str(block.url or "")
    if url.startswith("file:"):
        msg = f"The gateway cannot read a file of this machine: got {url!r}. Pass path=... instead of url=..."
        raise ConfigurationError(msg)
    return url


def _image(block: ImageBlock) -> dict[str, Any]:
    url = _url(block) or _data_uri(block.image, block.path, block.image_mimetype, "image/png")
    image = {"url": url}
    if block.detail:
        image["detail"] = block.detail
    return {"type": "image_url", "image_url": image}


def _video(block: VideoBlock) -> dict[str, Any]:
    url = _url(block) or _data_uri(block.video, block.path, block.video_mimetype, "video/mp4")
    return {"type": "video_url", "video_url": {"url": url}}


def _document(block: DocumentBlock) -> dict[str, Any]:
    name = _file_name(block)
    source = _url(block)
    if not source:
        mimetype = block.document_mimetype or mimetypes.guess_type(name)[0]
        source = _data_uri(block.data, block.path, mimetype, None)
    if source.startswith("data:") and mimetypes.guess_type(name)[0] is None:
        name += mimetypes.guess_extension(_kind(source.partition(",")[0])) or ""
    return {"type": "file", "file": {"filename": name, "file_data": source}}


def _file_name(block: DocumentBlock) -> str:
    if block.title and block.title != _PLACEHOLDER_TITLE:
        return str(block.title)
    if block.path:
        return Path(block.path).name
    address = urlsplit(str(block.url or ""))
    return (Path(unquote(address.path)).name if address.scheme != "data" else "") or _PLACEHOLDER_TITLE


def _audio(block: AudioBlock) -> dict[str, Any]:
    url = _url(block)
    if url and not url.startswith("data:"):
        msg = (
            f"Audio can be sent as data only, not by URL: got {url!r}. "
            "Download it and pass the bytes: AudioBlock(audio=...), or AudioBlock(path=...)."
        )
        raise ConfigurationError(msg)
    uri = url or _data_uri(block.audio, block.path, None, "audio/wav")
    head, _, data = uri.partition(",")
    name = _kind(head).rpartition("/")[2]
    form = block.format or _AUDIO_FORMATS.get(name, name)
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def _kind(head: str) -> str:
    """Give the mimetype that stands in what comes before the comma of a data URL."""
    return head[5:].split(";", 1)[0]


def _data_uri(data: Any, path: Any, mimetype: str | None, fallback: str | None) -> str:
    text = _base64(data, path)
    if not text:
        msg = f"A block holds no data: {'the file is' if data is None else 'its bytes are'} empty. Leave it out."
        raise ConfigurationError(msg)
    mimetype = mimetype or (mimetypes.guess_type(str(path))[0] if path else None) or _sniffed(text)
    mimetype = mimetype or fallback or _kind_of_document(text)
    return f"data:{mimetype};base64,{text}"


def _base64(data: Any, path: Any) -> str:
    if data is None:
        if path is None:
            msg = "A block holds no data: expected bytes, a path or a URL, got none of them."
            raise ConfigurationError(msg)
        return base64.b64encode(Path(path).read_bytes()).decode("ascii")
    if not isinstance(data, bytes):  # an open file
        data.seek(0)
        data = data.read()
    elif _is_base64(data):  # what the framework's blocks make of the bytes they are given
        return data.decode("ascii")
    return base64.b64encode(data).decode("ascii")


def _is_base64(data: bytes) -> bool:
    padding = data.translate(None, _BASE64)
    if len(data) % 4 == 0 and padding in (b"", b"=", b"==") and data.endswith(padding):
        return True
    # Python's own takes some padding that is not quite right as well; it is slower and makes the bytes.
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        return False
    return True


def _sniffed(text: str) -> str | None:
    head = base64.b64decode(text[:16])
    if head[:4] == b"RIFF":
        return "audio/wav" if head[8:12] == b"WAVE" else "image/webp"
    return next((mimetype for magic, mimetype in _MAGIC if head.startswith(magic)), None)


def _kind_of_document(text: str) -> str:
    try:
        base64.b64decode(text).decode()
    except UnicodeDecodeError:
        return "application/pdf"
    return "text/plain"


_MAKERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    TextBlock: _text,
    ImageBlock: _image,
    DocumentBlock: _document,
    AudioBlock: _audio,
    VideoBlock: _video,
}
