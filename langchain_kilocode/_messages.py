"""Turns LangChain's messages into what goes over the wire. Pure functions, no I/O.

Parts have the forms that OpenRouter-style upstreams read (gateway documentation and OpenRouter's, 2026): `image_url`,
`file` with a data URL or a plain one, `input_audio`, `video_url`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_kilocode._parts import can_be_sent, check_content, dict_at, plain_text, to_parts
from langchain_kilocode.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

REASONING_KEYS = "reasoning_replay"
"""In `additional_kwargs`: the names of the reasoning fields that the message came with, so that the same go back."""
CALL_EXTRAS = "tool_call_extras"
"""In `additional_kwargs`: by call id, what else came with a tool call, such as Gemini's thought signature."""
RAW_ARGUMENTS = "tool_call_arguments"
"""In `additional_kwargs`: by call id, all calls' arguments as the model wrote them, where some are no JSON object."""

_OURS = (None, "kilocode", "openrouter", "deepseek")
"""The `model_provider` of messages whose reasoning and content may have come over this wire."""
_WHOLE = frozenset({"tool_call", "tool_use"})
_BROKEN = frozenset({"invalid_tool_call", "tool_call_chunk"})
_SAID = frozenset(
    {"audio", "file", "image", "image_url", "input_audio", "output_text", "refusal", "text", "text-plain", "video"}
)
"""What another service's assistant may have said that is also content here; the rest is that service's own."""


def to_wire(messages: Iterable[BaseMessage]) -> list[dict[str, Any]]:
    """Give the `messages` of a request."""
    wired: list[dict[str, Any]] = []
    for message in messages:
        check_content(message.content)
        if isinstance(message, HumanMessage):
            wired.extend(_human(message))
        elif isinstance(message, AIMessage):
            wired.append(_assistant(message))
        elif isinstance(message, ToolMessage):
            content = _content(message.content, joined=True)
            wired.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": content})
        else:
            wired.append(_other(message))
    return wired


def _other(message: BaseMessage) -> dict[str, Any]:
    if isinstance(message, SystemMessage):
        role = "system"
    elif isinstance(message, ChatMessage):
        role = message.role
    elif isinstance(message, FunctionMessage):
        role = "function"
    else:
        raise ConfigurationError(_cannot_be_sent(message))
    return _named({"role": role, "content": _content(message.content)}, message)


def _cannot_be_sent(message: object) -> str:
    if isinstance(message, RemoveMessage):
        return (
            "A RemoveMessage is no message of a chat: it tells a state of LangGraph to forget one. Apply it with "
            "add_messages, or leave it out."
        )
    return (
        "A chat request holds messages of the types system, human, AI, tool, chat and function, "
        f"got {type(message).__name__}."
    )


def _named(wired: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    name = message.name or message.additional_kwargs.get("name")
    if name is not None:
        wired["name"] = name
    return wired


def _content(content: str | list[str | dict[Any, Any]], *, joined: bool = False) -> Any:
    """Give content as a string where that loses nothing: not every upstream takes a list from every role."""
    if isinstance(content, str):
        return content
    parts = to_parts(content)
    text = plain_text(parts)
    return text if text is not None and (joined or len(parts) <= 1) else parts


def _human(message: HumanMessage) -> list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str):
        return [_named({"role": "user", "content": content}, message)]
    results = [block for block in content if isinstance(block, dict) and block.get("type") == "tool_result"]
    wired = [
        {
            "role": "tool",
            "tool_call_id": block.get("tool_use_id"),
            "content": _content(_said_by_tool(block), joined=True),
        }
        for block in results
    ]
    rest = [block for block in content if block not in results]
    if rest or not results:
        wired.append(_named({"role": "user", "content": _content(rest)}, message))
    return wired


def _said_by_tool(block: dict[Any, Any]) -> str | list[str | dict[Any, Any]]:
    """Give the content of Anthropic's `tool_result`; a cache point on the whole of it goes to its last part."""
    content = block.get("content") or ""
    check_content(content)
    mark = block.get("cache_control")
    if mark is None or not content:
        return content
    parts = [content] if isinstance(content, str) else content
    last = {"type": "text", "text": parts[-1]} if isinstance(parts[-1], str) else parts[-1]
    return [*parts[:-1], {"cache_control": mark, **last}]


def _assistant(message: AIMessage) -> dict[str, Any]:
    extra = message.additional_kwargs
    wired: dict[str, Any] = {"role": "assistant", "content": _content(_said(message), joined=True)}
    calls = _tool_calls(message)
    if calls:
        wired["tool_calls"] = calls
    elif "function_call" in extra:
        wired["function_call"] = extra["function_call"]
    if not wired["content"] and len(wired) > 2:  # noqa: PLR2004 - more than role and content
        wired["content"] = None
    if extra or not isinstance(message.content, str):
        wired.update(_reasoning(message))
        images = _taken_images(wired) or extra.get("images")
        if images:
            wired["images"] = extra.get("images") or images
        files = _parsed_files(message)
        if files:
            wired["annotations"] = files
        audio = extra.get("audio")
        if isinstance(audio, dict) and not _is_foreign(message):
            # Providers want the id of what they said, not the sound itself.
            wired["audio"] = {"id": audio["id"]} if audio.get("id") else audio
    return _named(wired, message)


def _is_foreign(message: AIMessage) -> bool:
    return message.response_metadata.get("model_provider") not in _OURS


def _said(message: AIMessage) -> str | list[str | dict[Any, Any]]:
    """Give an assistant's content; of another service's, what can be said here, so that conversations can move."""
    content = message.content
    if isinstance(content, str) or not _is_foreign(message):
        return content
    return [
        block
        for block in content
        if isinstance(block, str) or (block.get("type", "text") in _SAID and can_be_sent(block))
    ]


def _parsed_files(message: AIMessage) -> list[dict[str, Any]]:
    """Give the annotations that hold what was read from files: a file that comes with them is not parsed anew.

    Source: OpenRouter's documentation of PDF inputs, 2026. Citations say nothing to the model and stay here.
    """
    found = _listed(message.additional_kwargs, "annotations")
    if not found:
        notes = [note for block in _dict_blocks(message) for note in _listed(block, "annotations")]
        found = [note.get("value") for note in notes if isinstance(note, dict)]
    return [note for note in found if isinstance(note, dict) and note.get("type") == "file"]


def _taken_images(wired: dict[str, Any]) -> list[dict[str, Any]]:
    """Take images out of an assistant's content: on the wire they stand beside it, as they came."""
    content = wired["content"]
    images = [part for part in content if part.get("type") == "image_url"] if isinstance(content, list) else []
    if images:
        rest = [part for part in content if part.get("type") != "image_url"]
        text = plain_text(rest)
        wired["content"] = rest if text is None else text
    return images


def _tool_calls(message: AIMessage) -> list[dict[str, Any]]:
    if isinstance(message.content, str) and not message.tool_calls and not message.invalid_tool_calls:
        return []
    blocks = _dict_blocks(message)
    raw = dict_at(message.additional_kwargs, RAW_ARGUMENTS)
    calls = [_call(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    calls += [
        _call(call["id"], call["name"], raw.get(call["id"], call["args"] or "")) for call in message.invalid_tool_calls
    ]
    known = {call["id"] for call in calls}
    calls += [
        _call(block.get("id"), block.get("name"), block.get("input" if block["type"] == "tool_use" else "args") or {})
        for block in blocks
        # A call that a program took out of `tool_calls` is not meant to go.
        if block.get("type") in (_BROKEN if message.tool_calls else _BROKEN | _WHOLE) and block.get("id") not in known
    ]
    mine = [] if _is_foreign(message) else blocks
    extras = {block["id"]: block["extras"] for block in mine if block.get("id") and block.get("extras")}
    extras.update(dict_at(message.additional_kwargs, CALL_EXTRAS))
    for call in calls:
        call.update(dict_at(extras, call["id"]))
    places = {id_: place for place, id_ in enumerate(raw)}
    return sorted(calls, key=lambda call: places.get(call["id"], len(places)))


def _call(id_: str | None, name: str | None, arguments: object) -> dict[str, Any]:
    try:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as exc:
        reason = str(exc)
    else:
        return {"id": id_, "type": "function", "function": {"name": name, "arguments": text}}
    msg = f"The arguments of a call of {name!r} must be text, numbers, lists and dicts, to become JSON: {reason}."
    raise ConfigurationError(msg)


def _reasoning(message: AIMessage) -> dict[str, Any]:
    """Give the reasoning fields of an assistant's message as they came: providers check signatures over them.

    They are looked for in `additional_kwargs`, and where those are lost, in the content's reasoning blocks.
    """
    known = {"reasoning_details": list, "reasoning_content": str, "reasoning": str}
    # Other services keep things of other forms under these names.
    source: dict[str, Any] = {
        name: value for name, value in message.additional_kwargs.items() if isinstance(value, known.get(name, object))
    }
    if not any(source.get(name) for name in known):
        source = _from_blocks(message)
    text = source.get("reasoning_content") or source.get("reasoning")
    names = source.get(REASONING_KEYS)
    if not isinstance(names, (list, tuple)):
        # The message was not made here. Blocks say all that the text says, and more.
        names = next(([name] for name in known if source.get(name)), [])
    return {
        name: value
        for name in names
        if isinstance(name, str) and (value := source.get(name) or (None if name == "reasoning_details" else text))
    }


def _from_blocks(message: AIMessage) -> dict[str, Any]:
    blocks = [block for block in _dict_blocks(message) if block.get("type") == "reasoning"]
    if not blocks or _is_foreign(message):
        # What another service signed or encrypted is of no use behind this gateway.
        return {}
    texts = (block.get("reasoning") for block in blocks)
    found: dict[str, Any] = {"reasoning": "".join(text for text in texts if isinstance(text, str))}
    for block in blocks:
        found.update(dict_at(block, "extras"))
    return found


def _listed(fields: dict[Any, Any], name: str) -> list[Any]:
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _dict_blocks(message: AIMessage) -> list[dict[str, Any]]:
    return [] if isinstance(message.content, str) else [block for block in message.content if isinstance(block, dict)]
