"""Reasoning: out as text and blocks, and back to the model exactly as it came."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, trim_messages

from kilocode_gateway.local import Reply

CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
THOUGHT = "First I look. Then I tell."

ANTHROPIC = [
    {
        "reasoning": "First I ",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "First I ", "format": "anthropic-claude-v1", "index": 0}
        ],
    },
    {
        "reasoning": "look. ",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "look. ", "format": "anthropic-claude-v1", "index": 0}
        ],
    },
    {
        "reasoning": "Then I tell.",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "Then I tell.", "format": "anthropic-claude-v1", "index": 0}
        ],
    },
    {
        "reasoning_details": [
            {"type": "reasoning.text", "signature": "c2lnbmVk", "format": "anthropic-claude-v1", "index": 0}
        ]
    },
]
GEMINI = [
    {
        "reasoning": THOUGHT,
        "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT, "format": "google-gemini-v1", "index": 0}],
    },
    {
        "reasoning_details": [
            {
                "type": "reasoning.encrypted",
                "data": "ZGF0YQ==",
                "id": "call_1",
                "format": "google-gemini-v1",
                "index": 1,
            }
        ]
    },
]
OPENAI = [
    {
        "reasoning": THOUGHT,
        "reasoning_details": [
            {"type": "reasoning.summary", "summary": THOUGHT, "format": "openai-responses-v1", "index": 0}
        ],
    },
    {
        "reasoning_details": [
            {
                "type": "reasoning.encrypted",
                "data": "Z0FBQQ==",
                "id": "rs_1",
                "format": "openai-responses-v1",
                "index": 0,
            }
        ]
    },
]
KIMI = [{"reasoning_content": "First I look. "}, {"reasoning_content": "Then I tell."}]
PLAIN = [{"reasoning": "First I look. "}, {"reasoning": "Then I tell."}]

BACK = {
    "anthropic": {
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "text": THOUGHT,
                "signature": "c2lnbmVk",
                "format": "anthropic-claude-v1",
                "index": 0,
            }
        ]
    },
    "gemini": {"reasoning_details": [GEMINI[0]["reasoning_details"][0], GEMINI[1]["reasoning_details"][0]]},
    "openai": {"reasoning_details": [OPENAI[0]["reasoning_details"][0], OPENAI[1]["reasoning_details"][0]]},
    "kimi": {"reasoning_content": THOUGHT},
    "plain": {"reasoning": THOUGHT},
}
SHAPES = {"anthropic": ANTHROPIC, "gemini": GEMINI, "openai": OPENAI, "kimi": KIMI, "plain": PLAIN}
REASONING = ("reasoning", "reasoning_content", "reasoning_details")


def _reply(shape: str, *, stream: bool, text: str = "") -> Reply:
    head = {"id": "gen-1", "model": "m", "provider": "P"}
    if not stream:
        message = {"role": "assistant", "content": text or None, "tool_calls": [CALL], **BACK[shape]}
        if "reasoning_details" in BACK[shape]:
            message["reasoning"] = THOUGHT
        return Reply.raw(200, {**head, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]})
    deltas = [*SHAPES[shape], {"content": text}, {"tool_calls": [CALL]}]
    chunks = [
        {
            **head,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "", **delta}, "finish_reason": None}],
        }
        for delta in deltas
    ]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return Reply.chunks(chunks)


async def _turn(ask: Any, model: Any, gateway: Any, shape: str, text: str = "") -> AIMessage:
    gateway.script(_reply(shape, stream="stream" in ask.__name__, text=text))
    return await ask(model, "Look.")


def _sent_back(gateway: Any) -> dict[str, Any]:
    message = next(message for message in gateway.last_request.json["messages"] if message["role"] == "assistant")
    return {name: message[name] for name in REASONING if name in message}


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_text_is_shown_once(ask: Any, make_model: Any, gateway: Any, shape: str, version: str | None) -> None:
    answer = await _turn(ask, make_model(output_version=version), gateway, shape, text="Here.")
    assert answer.additional_kwargs["reasoning_content"] == THOUGHT
    blocks = answer.content_blocks
    assert [block["type"] for block in blocks] == ["reasoning", "text", "tool_call"]
    assert blocks[0]["reasoning"] == THOUGHT
    assert blocks[1]["text"] == "Here."
    assert (blocks[2]["name"], blocks[2]["args"], blocks[2]["id"]) == ("look", {}, "call_1")
    assert answer.text == "Here."


def _same(message: AIMessage) -> AIMessage:
    return message


def _through_json(message: AIMessage) -> AIMessage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls `loads` a beta
        return loads(dumps(message), allowed_objects="messages")


def _trimmed(message: AIMessage) -> AIMessage:
    kept = trim_messages(
        [HumanMessage("Look."), message], max_tokens=10, token_counter=len, strategy="last", include_system=True
    )
    return kept[-1]


def _blocks_only(message: AIMessage) -> AIMessage:
    """Keep what a program keeps that stores standard blocks and nothing else."""
    return AIMessage(
        content_blocks=copy.deepcopy(message.content_blocks), response_metadata={"model_provider": "kilocode"}
    )


@pytest.mark.parametrize("model", [None, "v1"], indirect=True)
@pytest.mark.parametrize("way", [_same, _through_json, _trimmed, _blocks_only])
@pytest.mark.parametrize("shape", SHAPES)
async def test_it_goes_back_as_it_came(model: Any, ask: Any, gateway: Any, shape: str, way: Any) -> None:
    answer = way(await _turn(ask, model, gateway, shape))
    history = [HumanMessage("Look."), answer, ToolMessage("seen", tool_call_id="call_1")]
    await ask(model, history)
    assert _sent_back(gateway) == BACK[shape]
    call = gateway.last_request.json["messages"][1]
    assert call["tool_calls"] == [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert call["content"] is None


async def test_three_turns_of_a_tool_loop(ask: Any, model: Any, gateway: Any) -> None:
    history: list[Any] = [HumanMessage("Look.")]
    for _ in range(3):
        gateway.script(_reply("anthropic", stream="stream" in ask.__name__))
        history.append(await ask(model, history))
        history.append(ToolMessage("seen", tool_call_id="call_1"))
    await ask(model, history)
    back = [message for message in gateway.last_request.json["messages"] if message["role"] == "assistant"]
    assert [{name: message[name] for name in REASONING if name in message} for message in back] == [
        BACK["anthropic"]
    ] * 3


async def test_deltas_come_as_they_arrive(model: Any, gateway: Any) -> None:
    gateway.script(_reply("anthropic", stream=True, text="Here."))
    seen = [chunk.additional_kwargs.get("reasoning_content", "") for chunk in model.stream("Look.")]
    assert [text for text in seen if text] == ["First I ", "look. ", "Then I tell."]


async def test_another_services_reasoning_blocks_are_left_out(model: Any, gateway: Any) -> None:
    foreign = AIMessage(
        content=[
            {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "x"}},
            {"type": "text", "text": "Hi"},
        ],
        response_metadata={"model_provider": "anthropic"},
    )
    model.invoke([HumanMessage("Hello"), foreign, HumanMessage("Go on")])
    assert _sent_back(gateway) == {}
    assert gateway.last_request.json["messages"][1]["content"] == "Hi"


@pytest.mark.parametrize(
    ("kwargs", "sent"),
    [
        ({"reasoning_content": "hm"}, {"reasoning_content": "hm"}),
        (
            {"reasoning_content": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        ),
    ],
)
async def test_messages_of_other_integrations(
    model: Any, gateway: Any, kwargs: dict[str, Any], sent: dict[str, Any]
) -> None:
    model.invoke([HumanMessage("Hello"), AIMessage("Hi", additional_kwargs=kwargs), HumanMessage("Go on")])
    assert _sent_back(gateway) == sent
