"""Answers of the gateway as LlamaIndex's responses: one pure conversion for whole answers and for streams."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CitationBlock,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from kilocode_gateway.wire.values import as_dict, as_dicts
from llama_index_kilocode._unchecked import assistant_message, text_block, thinking_block, tool_call_block
from llama_index_kilocode._unchecked import chat_response as unchecked_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilocode_gateway.wire import Completion, Delta, ToolCallDelta, Usage


def chat_response(completion: Completion, *, audio_format: str = "wav", delta: str | None = None) -> ChatResponse:
    """Give a whole answer as a response.

    Args:
        completion: The answer; a stream's is the same as that of a reply that came at once.
        audio_format: What a spoken answer is encoded in.
        delta: The text that is new in it: `""` at the end of a stream.

    """
    calls = [call.as_message_part() for call in completion.tool_calls]
    return ChatResponse(
        message=ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=_blocks(completion, audio_format),
            additional_kwargs={"tool_calls": calls} if calls else {},
        ),
        raw=completion.raw,
        delta=delta,
        logprobs=log_probs(completion.logprobs),
        additional_kwargs=facts(completion),
    )


def facts(completion: Completion) -> dict[str, Any]:
    """Give what is known about an answer beside its content: usage, cost, who answered, and why it ended.

    All of it can be written as JSON. What the gateway did not tell is left out: a cost of 0 means free.
    """
    found: dict[str, Any] = {
        **(_usage(completion.usage) if completion.usage else {}),
        "model": completion.model,
        "requested_model": completion.requested_model,
        "fallback_model": completion.fallback_model,
        "failed_models": completion.failed_models or None,
        "provider": completion.provider,
        "finish_reason": completion.finish_reason,
        "native_finish_reason": completion.native_finish_reason,
        "refusal": completion.refusal or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost": None if usage.cost is None else float(usage.cost),
        "cost_details": usage.cost_details or None,
        "is_byok": usage.is_byok,
    }


def _blocks(completion: Completion, audio_format: str) -> list[Any]:
    blocks: list[Any] = []
    if completion.reasoning or completion.replay:
        tokens = completion.usage.reasoning_tokens if completion.usage else None
        blocks.append(
            ThinkingBlock(
                content=completion.reasoning or None,
                num_tokens=tokens or None,
                additional_information=dict(completion.replay),
            )
        )
    spoken = completion.audio or {}
    text = completion.text or str(spoken.get("transcript") or "") or completion.refusal
    media: list[Any] = [block for image in completion.images if (block := _image(image)) is not None]
    if spoken.get("data"):
        media.append(AudioBlock(audio=str(spoken["data"]).encode(), format=str(spoken.get("format") or audio_format)))
    calls = [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments or {})
        for call in completion.tool_calls
    ]
    if text or not (media or calls):
        blocks.append(TextBlock(text=text))
    cited = [citation for note in completion.annotations if (citation := _citation(note)) is not None]
    return [*blocks, *media, *cited, *calls]


def _image(image: dict[str, Any]) -> ImageBlock | None:
    source = image.get("image_url")
    url = source.get("url") if isinstance(source, dict) else source
    if not isinstance(url, str) or not url:
        return None
    head, _, data = url.partition(",")
    try:
        if not head.startswith("data:") or not head.endswith(";base64"):
            return ImageBlock(url=url)
        return ImageBlock(image=base64.b64decode(data), image_mimetype=head[5:].split(";", 1)[0] or None)
    except (
        ValueError
    ):  # no address, or no base64: the answer around it is still worth having, and `raw` holds all of it
        return None


def _citation(annotation: dict[str, Any]) -> CitationBlock | None:
    cited = annotation.get("url_citation")
    if not isinstance(cited, dict) or not isinstance(cited.get("url"), str):
        return None
    return CitationBlock(
        cited_content=TextBlock(text=str(cited.get("content") or "")),
        source=cited["url"],
        title=str(cited.get("title") or cited["url"]),
        additional_location_info={
            name: cited[name] for name in ("start_index", "end_index") if isinstance(cited.get(name), int)
        },
    )


def log_probs(logprobs: object) -> list[list[LogProb]] | None:
    """Give a reply's log probabilities: for each token its alternatives, or itself where none came."""
    tokens = as_dicts(as_dict(logprobs).get("content"))
    return [_alternatives(token) for token in tokens] or None


def _alternatives(token: dict[str, Any]) -> list[LogProb]:
    items = as_dicts(token.get("top_logprobs")) or [token]
    return [found for item in items if (found := _log_prob(item)) is not None]


def _log_prob(item: dict[str, Any]) -> LogProb | None:
    try:
        return LogProb(token=item.get("token") or "", logprob=item.get("logprob") or 0.0, bytes=item.get("bytes") or [])
    except ValueError:  # of another form: the answer around it is still worth having
        return None


class StreamedChat:
    """Adds a stream's pieces up and gives the response after each.

    What it builds equals what the framework's own validation would have left; see `_unchecked`.
    """

    __slots__ = ("_begun", "_calls", "_parts", "_text", "_thoughts")

    def __init__(self) -> None:
        self._text = ""
        self._thoughts = ""
        self._begun: list[tuple[str | None, str, str]] = []
        """Of each tool call its id, its name and its arguments: the responses belong to whoever asked."""
        self._calls: list[ToolCallBlock | None] = []
        self._parts: list[dict[str, Any]] = []

    def add(self, piece: Delta) -> ChatResponse:
        """Take the next piece and give the answer so far."""
        extra: dict[str, Any] = {}
        text = piece.text
        if text:
            self._text += text
        if piece.reasoning:
            self._thoughts += piece.reasoning
            extra["thinking_delta"] = piece.reasoning
        if piece.tool_calls:
            self._add_calls(piece.tool_calls)
        blocks: list[Any] = [thinking_block(self._thoughts)] if self._thoughts else []
        if self._text or not self._calls:
            blocks.append(text_block(self._text))
        if self._calls:
            blocks += self._calls
            message = assistant_message(blocks, {"tool_calls": self._parts.copy()})
        else:
            message = assistant_message(blocks, {})
        logprobs = log_probs(piece.logprobs) if piece.logprobs else None
        return unchecked_response(message, piece.raw, text, logprobs, extra)

    def _add_calls(self, pieces: Iterable[ToolCallDelta]) -> None:
        for piece in pieces:
            place = piece.index
            if place >= len(self._calls):
                self._calls.append(None)
                self._parts.append({})
                self._begun.append((piece.id, "", ""))
            call_id, name, arguments = self._begun[place]
            name, arguments = piece.name or name, arguments + piece.arguments
            self._begun[place] = (call_id, name, arguments)
            self._calls[place] = tool_call_block(call_id, name, arguments)
            self._parts[place] = {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }


def only_first_call(response: ChatResponse) -> ChatResponse:
    """Give the response with its first tool call only; the one that came in stays as it is."""
    message = response.message
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    parts = message.additional_kwargs.get("tool_calls") or []
    if len(calls) <= 1 and len(parts) <= 1:
        return response
    kept = [block for block in message.blocks if not isinstance(block, ToolCallBlock) or block is calls[0]]
    extra = {**message.additional_kwargs, "tool_calls": parts[:1]}
    return response.model_copy(
        update={"message": message.model_copy(update={"blocks": kept, "additional_kwargs": extra})}
    )
