"""Turns what the core read from the wire into LangChain's results and chunks. Pure functions, no I/O."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.json import parse_partial_json

from langchain_kilocode._messages import CALL_EXTRAS, RAW_ARGUMENTS, REASONING_KEYS
from langchain_kilocode._unchecked import chunk_of

if TYPE_CHECKING:
    from kilocode_gateway.wire import Completion, Delta, Usage
    from kilocode_gateway.wire import ToolCall as WireCall

PROVIDER = "kilocode"
"""What `ls_provider` and `model_provider` say. LangChain trusts token counts where the two are the same."""


def to_result(completions: list[Completion]) -> ChatResult:
    """Give a whole reply: one generation for each of its choices."""
    first = completions[0]
    generations = [
        ChatGeneration(message=_message(completion), generation_info=_generation_info(completion))
        for completion in completions
    ]
    output = {
        name: value
        for name, value in reply_metadata(first).items()
        if name not in ("finish_reason", "native_finish_reason", "logprobs")
    }
    return ChatResult(generations=generations, llm_output=output)


def combined_output(outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Give what several replies used together, as the `llm_output` of `generate`."""
    told = [output for output in outputs if output]
    combined: dict[str, Any] = {"token_usage": {}}
    for output in told:
        combined["token_usage"] = _sum(combined["token_usage"], output.get("token_usage") or {})
        combined.setdefault("model_name", output.get("model_name"))
    costs = [output["cost"] for output in told if "cost" in output]
    return {**combined, "cost": _sum(0, *costs)} if costs else combined


def _sum(first: Any, *others: Any) -> Any:
    """Add numbers, exactly as they were written, and the numbers in dicts; of anything else keep the last."""
    for other in others:
        if isinstance(first, dict) and isinstance(other, dict):
            first = {
                **first,
                **{name: _sum(first[name], value) if name in first else value for name, value in other.items()},
            }
        elif all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in (first, other)):
            whole = isinstance(first, int) and isinstance(other, int)
            first = first + other if whole else float(Decimal(str(first)) + Decimal(str(other)))
        elif other is not None:
            first = other
    return first


def _message(completion: Completion) -> AIMessage:
    calls, invalid = _tool_calls(completion.tool_calls)
    extra = _additional_kwargs(completion)
    if completion.reasoning:
        extra["reasoning_content"] = completion.replay.get("reasoning_content") or completion.reasoning
    return AIMessage(
        content=completion.text,
        additional_kwargs=extra,
        response_metadata=reply_metadata(completion),
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage_metadata(completion.usage),
    )


def to_chunk(delta: Delta) -> ChatGenerationChunk | None:
    """Give a piece of a stream; None when it brings only what `last_chunk` gives whole."""
    text, reasoning = delta.text, delta.reasoning
    extra: dict[str, Any] = {"reasoning_content": reasoning} if reasoning else {}
    if not delta.tool_calls and delta.logprobs is None:
        return chunk_of(text, extra, {"model_provider": PROVIDER}) if text or reasoning else None
    pieces = [
        tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index) for call in delta.tool_calls
    ]
    message = AIMessageChunk(
        content=text,
        additional_kwargs=extra,
        response_metadata={"model_provider": PROVIDER},
        tool_call_chunks=pieces,
    )
    info = None if delta.logprobs is None else {"logprobs": delta.logprobs}
    return ChatGenerationChunk(message=message, generation_info=info)


def last_chunk(completion: Completion | None, *, with_usage: bool = True) -> ChatGenerationChunk:
    """Give the closing piece of a stream: everything that is known at the end only, and what must not be cut in pieces.

    Pieces of signed reasoning would be glued together wrongly when LangChain adds chunks up, so they come here, whole.
    """
    if completion is None:
        # Unreachable: a stream that ends without an error is complete.
        msg = "The stream ended without an answer."
        raise RuntimeError(msg)
    metadata = reply_metadata(completion)
    # The pieces brought these already; adding chunks up would double them.
    metadata.pop("logprobs", None)
    pieces = [
        tool_call_chunk(name=None, args=ending, id=call.id, index=place)
        for place, call in enumerate(completion.tool_calls)
        if (ending := _ending(call)) or call.extra
    ]
    message = AIMessageChunk(
        content="",
        tool_call_chunks=pieces,
        additional_kwargs=_additional_kwargs(completion),
        response_metadata=metadata,
        usage_metadata=usage_metadata(completion.usage) if with_usage else None,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message, generation_info={"finish_reason": completion.finish_reason})


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Give the token counts in LangChain's form; None when the gateway told none."""
    if usage is None:
        return None
    inputs = {
        "audio": usage.audio_input_tokens,
        "cache_read": usage.cache_read_tokens,
        "cache_creation": usage.cache_write_tokens,
    }
    outputs = {"audio": usage.audio_output_tokens, "reasoning": usage.reasoning_tokens}
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=cast("InputTokenDetails", _told(inputs)),
        output_token_details=cast("OutputTokenDetails", _told(outputs)),
    )


def at_no_cost(message: AIMessage) -> AIMessage:
    """Give a copy of an answer that came from LangChain's cache: the tokens are those of then, and nobody paid."""
    metadata = dict(message.response_metadata)
    if metadata.get("model_provider") != PROVIDER:
        return message
    metadata["cost"] = 0.0
    metadata.pop("cost_details", None)
    if isinstance(used := metadata.get("token_usage"), dict):
        free = {name: value for name, value in used.items() if name != "cost_details"}
        metadata["token_usage"] = {**free, "cost": 0} if "cost" in used else free
    return message.model_copy(update={"response_metadata": metadata})


def _told(counts: dict[str, int | None]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def reply_metadata(completion: Completion) -> dict[str, Any]:
    """Give what is known of a reply beside its text: who answered, how it ended, what it used and cost."""
    usage = completion.usage
    optional = {
        "provider": completion.provider,
        "native_finish_reason": completion.native_finish_reason,
        "system_fingerprint": completion.system_fingerprint,
        "service_tier": completion.service_tier,
        "logprobs": completion.logprobs,
        "id": completion.id or None,
        "created": completion.created,
        "fallback_model": completion.fallback_model,
        "failed_models": completion.failed_models or None,
    }
    metadata = {
        "model_provider": PROVIDER,
        "model_name": completion.model,
        "requested_model": completion.requested_model,
        "finish_reason": completion.finish_reason,
        **{name: value for name, value in optional.items() if value is not None},
    }
    if usage is not None:
        metadata["token_usage"] = usage.raw
        if usage.cost is not None:
            metadata["cost"] = float(usage.cost)
        if usage.cost_details:
            metadata["cost_details"] = usage.cost_details
        if usage.is_byok is not None:
            metadata["is_byok"] = usage.is_byok
    return metadata


def _generation_info(completion: Completion) -> dict[str, Any]:
    info: dict[str, Any] = {"finish_reason": completion.finish_reason}
    if completion.logprobs is not None:
        info["logprobs"] = completion.logprobs
    return info


def _additional_kwargs(completion: Completion) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if completion.replay:
        extra[REASONING_KEYS] = list(completion.replay)
        if "reasoning_details" in completion.replay:
            extra["reasoning_details"] = completion.replay["reasoning_details"]
    calls = completion.tool_calls
    optional = {
        CALL_EXTRAS: {call.id: call.extra for call in calls if call.extra},
        RAW_ARGUMENTS: {call.id: call.arguments for call in calls}
        if any(_arguments(call)[1] for call in calls)
        else {},
        "annotations": completion.annotations,
        "images": completion.images,
        "audio": completion.audio,
        "refusal": completion.refusal,
    }
    extra.update({name: value for name, value in optional.items() if value})
    return extra


def _tool_calls(calls: list[WireCall]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    valid, invalid = [], []
    for call in calls:
        arguments, error = _arguments(call)
        if error:
            invalid.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=error))
        else:
            valid.append(tool_call(name=call.name, args=arguments, id=call.id))
    return valid, invalid


def _arguments(call: WireCall) -> tuple[dict[str, Any], str]:
    """Give a call's arguments, and what is wrong with them."""
    try:
        arguments = json.loads(call.arguments, strict=False) if call.arguments.strip() else {}
    except (ValueError, RecursionError) as exc:
        return {}, f"The arguments of {call.name!r} are not JSON: {exc}"
    if isinstance(arguments, dict):
        return arguments, ""
    return {}, f"The arguments of {call.name!r} must be a JSON object, got {type(arguments).__name__}."


def _ending(call: WireCall) -> str:
    """Give what must follow a streamed call's arguments so that LangChain reads of their sum what is true.

    It completes what was cut, and an agent would run the tool with half a path or half a query. A closing bracket that
    nothing opened makes it leave them alone.
    """
    if not _arguments(call)[1]:
        return "" if call.arguments.strip() or not call.arguments else "{}"
    return next((ending for ending in _SPOILERS if not _is_taken(call.arguments + ending)), "")


_SPOILERS = ("", "]", '"]', "{]", '"{]', '""{]')


def _is_taken(arguments: str) -> bool:
    """Say whether LangChain would make a call of arguments: its events take any JSON, its chunks any broken object."""
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(arguments)
        return True
    with contextlib.suppress(ValueError, RecursionError):
        return isinstance(parse_partial_json(arguments), dict)
    return False
