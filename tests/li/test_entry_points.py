"""The same cases on all eight entry points: text, usage, thinking, tool calls, errors, retries."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import openai
import pytest

from kilocode_gateway import track_usage
from kilocode_gateway.errors import (
    AuthenticationError,
    InsufficientBalanceError,
    KiloCodeError,
    ModelNotFoundError,
    RateLimitError,
    StreamInterruptedError,
    UpstreamError,
)
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "cost": 0.00125,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


async def test_text(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Hello you, whoever you are."))
    responses = await ask(llm)
    assert ask.text(responses[-1]) == "Hello you, whoever you are."
    if ask.streams:
        assert len(responses) > 2
        assert "".join(response.delta for response in responses) == "Hello you, whoever you are."
        grown = [ask.text(response) for response in responses]
        assert all(later.startswith(earlier) for earlier, later in pairwise(grown))


async def test_usage_and_cost_stand_in_the_response(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Hello you.", usage=USAGE, model="vendor/served", provider="Some Provider"))
    with track_usage() as used:
        responses = await ask(llm)
    facts = responses[-1].additional_kwargs
    expected = {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "cached_tokens": 4,
        "cache_write_tokens": 2,
        "reasoning_tokens": 3,
        "cost": 0.00125,
        "is_byok": False,
        "model": "vendor/served",
        "requested_model": "openai/gpt-5.4",
        "provider": "Some Provider",
        "finish_reason": "stop",
    }
    assert {name: facts.get(name) for name in expected} == expected
    json.dumps(facts)
    assert responses[-1].raw["usage"]["total_tokens"] == 18
    json.dumps(responses[-1].raw)
    assert [("cost" in response.additional_kwargs) for response in responses] == [False] * (len(responses) - 1) + [True]
    assert (used.total.calls, used.total.input_tokens, str(used.total.cost)) == (1, 11, "0.00125")


async def test_a_cost_that_was_not_told_is_absent_not_zero(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Hi.", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}))
    facts = (await ask(llm))[-1].additional_kwargs
    assert facts["total_tokens"] == 2
    assert not {"cost", "cached_tokens", "reasoning_tokens", "is_byok"} & set(facts)


async def test_thinking(chat: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Hello.", reasoning="First I think, then I speak."))
    responses = await chat(llm)
    thoughts = [block for block in responses[-1].message.blocks if block.block_type == "thinking"]
    assert [block.content for block in thoughts] == ["First I think, then I speak."]
    assert chat.text(responses[-1]) == "Hello."
    if chat.streams:
        pieces = [response.additional_kwargs.get("thinking_delta", "") for response in responses]
        assert "".join(pieces) == "First I think, then I speak."


async def test_thinking_of_a_completion_arrives_while_it_streams(
    ask: Any, llm: KiloCode, gateway: LocalGateway
) -> None:
    gateway.script(Reply.text("Hello.", reasoning="I think."))
    responses = await ask(llm)
    assert ask.text(responses[-1]) == "Hello."
    if ask.streams:
        assert "".join(response.additional_kwargs.get("thinking_delta", "") for response in responses) == "I think."


async def test_a_first_chunk_with_null_content_keeps_its_thought(
    chat: Any, llm: KiloCode, gateway: LocalGateway
) -> None:
    gateway.script(
        Reply.chunks(
            [
                {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None, "reasoning": "think "}}]},
                {"choices": [{"index": 0, "delta": {"content": None, "reasoning": "hard"}}]},
                {"choices": [{"index": 0, "delta": {"content": "Done."}, "finish_reason": "stop"}]},
            ]
        )
    )
    responses = await chat(llm)
    assert [block.content for block in responses[-1].message.blocks if block.block_type == "thinking"] == ["think hard"]


async def test_tool_calls(chat: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    calls = [
        {"id": "call_a", "name": "add", "arguments": '{"a": 1, "b": 2}'},
        {"id": "call_b", "name": "now", "arguments": ""},
    ]
    gateway.script(Reply.text("", tool_calls=calls))
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("add", "now")
    ]
    responses = await chat(llm, tools=tools)
    message = responses[-1].message
    blocks = [block for block in message.blocks if block.block_type == "tool_call"]
    assert [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks] == [
        ("call_a", "add", '{"a": 1, "b": 2}'),
        ("call_b", "now", {}),
    ]
    assert [call["id"] for call in message.additional_kwargs["tool_calls"]] == ["call_a", "call_b"]
    json.dumps(message.additional_kwargs)
    selections = llm.get_tool_calls_from_response(responses[-1])
    assert [(one.tool_id, one.tool_name, one.tool_kwargs) for one in selections] == [
        ("call_a", "add", {"a": 1, "b": 2}),
        ("call_b", "now", {}),
    ]


ERRORS = [
    (
        402,
        {"error": {"title": "Low Credit Warning!", "message": "Add credits.", "balance": -0.5}},
        InsufficientBalanceError,
        openai.APIStatusError,
        1,
    ),
    (
        401,
        {"error": {"code": "PAID_MODEL_AUTH_REQUIRED", "message": "You need to sign in."}},
        AuthenticationError,
        openai.AuthenticationError,
        1,
    ),
    (
        404,
        {"error": "Model not found", "message": "The requested model could not be found."},
        ModelNotFoundError,
        openai.NotFoundError,
        1,
    ),
    (
        429,
        {"error": "Rate limit exceeded", "error_type": "rate_limit_exceeded"},
        RateLimitError,
        openai.RateLimitError,
        3,
    ),
    (503, {"error": "Service Unavailable", "message": "Later."}, UpstreamError, openai.InternalServerError, 3),
    (500, b"", UpstreamError, openai.InternalServerError, 3),
]


@pytest.mark.parametrize(("status", "body", "ours", "theirs", "requests"), ERRORS, ids=[str(row[0]) for row in ERRORS])
async def test_errors_are_ours_and_openai_ones_and_retried_at_most_twice(  # noqa: PLR0917
    ask: Any, make_llm: Any, gateway: LocalGateway, status: int, body: Any, ours: Any, theirs: Any, requests: int
) -> None:
    reply = Reply.raw(status, body, {"retry-after-ms": "1"})
    gateway.script(*[reply] * 5)
    llm = make_llm(model="openai/gpt-5.4", max_retries=2)
    with pytest.raises(ours) as caught:
        await ask(llm)
    assert isinstance(caught.value, theirs)
    assert isinstance(caught.value, KiloCodeError)
    assert len(gateway.chat_requests) == requests


async def test_a_request_is_retried_and_then_answered(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.raw(503, {"error": "x"}, {"retry-after-ms": "1"}), Reply.text("At last."))
    assert ask.text((await ask(llm))[-1]) == "At last."
    assert len(gateway.chat_requests) == 2


async def test_no_retries_where_none_are_wanted(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    gateway.script(*[Reply.raw(503, {"error": "x"}, {})] * 3)
    with pytest.raises(UpstreamError):
        await ask(make_llm(max_retries=0))
    assert len(gateway.chat_requests) == 1


async def test_an_error_inside_a_200(ask: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    body = {"error": {"message": "Out of credits upstream", "code": 402, "metadata": {"provider_name": "P"}}}
    gateway.script(*[Reply.raw(200, body, {"content-type": "application/json"})] * 3)
    with pytest.raises(KiloCodeError, match="Out of credits upstream"):
        await ask(llm)


async def test_a_truncated_stream_keeps_its_text(stream: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks([{"choices": [{"index": 0, "delta": {"content": "Half an ans"}}]}], done=True))
    with pytest.raises(StreamInterruptedError) as caught:
        await stream(llm)
    assert caught.value.text == "Half an ans"
    assert len(gateway.chat_requests) == 1
