"""Thinking goes back exactly as it came, for each upstream's shape, whatever the conversation went through."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.workflow import Context, JsonSerializer

from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode

CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
CLAUDE = "anthropic-claude-v1"
GEMINI = "google-gemini-v1"
OPENAI = "openai-responses-v1"
GEMINI_CALL = {**CALL, "extra_content": {"google": {"thought_signature": "R0VNSU5J"}}}

# Shape: (the stream's deltas, the fields that the assistant's message must carry back, the call that goes back)
SHAPES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = {
    "anthropic": (
        [
            {
                "reasoning": "I look ",
                "reasoning_details": [{"type": "reasoning.text", "text": "I look ", "format": CLAUDE, "index": 0}],
            },
            {
                "reasoning": "it up.",
                "reasoning_details": [{"type": "reasoning.text", "text": "it up.", "format": CLAUDE, "index": 0}],
            },
            {"reasoning_details": [{"type": "reasoning.text", "signature": "U0lHTkVE", "format": CLAUDE, "index": 0}]},
        ],
        {
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "I look it up.",
                    "format": CLAUDE,
                    "index": 0,
                    "signature": "U0lHTkVE",
                }
            ]
        },
        CALL,
    ),
    "gemini": (
        [
            {
                "reasoning": "Hm.",
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "format": GEMINI, "index": 0}],
            },
            {
                "reasoning_details": [
                    {
                        "type": "reasoning.encrypted",
                        "data": "RU5DUllQVA==",
                        "id": "call_1",
                        "format": GEMINI,
                        "index": 1,
                    }
                ]
            },
        ],
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Hm.", "format": GEMINI, "index": 0},
                {"type": "reasoning.encrypted", "data": "RU5DUllQVA==", "id": "call_1", "format": GEMINI, "index": 1},
            ]
        },
        GEMINI_CALL,
    ),
    "openai": (
        [
            {
                "reasoning": "Plan",
                "reasoning_details": [{"type": "reasoning.summary", "summary": "Plan", "format": OPENAI, "index": 0}],
            },
            {
                "reasoning": "ning.",
                "reasoning_details": [{"type": "reasoning.summary", "summary": "ning.", "format": OPENAI, "index": 0}],
            },
            {
                "reasoning_details": [
                    {"type": "reasoning.encrypted", "data": "T1BBUVVF", "id": "rs_1", "format": OPENAI, "index": 0}
                ]
            },
        ],
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "Planning.", "format": OPENAI, "index": 0},
                {"type": "reasoning.encrypted", "data": "T1BBUVVF", "id": "rs_1", "format": OPENAI, "index": 0},
            ]
        },
        CALL,
    ),
    "openai, encrypted only": (
        [
            {
                "reasoning_details": [
                    {"type": "reasoning.encrypted", "data": "T1BBUVVF", "id": "rs_1", "format": OPENAI, "index": 0}
                ]
            }
        ],
        {
            "reasoning_details": [
                {"type": "reasoning.encrypted", "data": "T1BBUVVF", "id": "rs_1", "format": OPENAI, "index": 0}
            ]
        },
        CALL,
    ),
    "kimi": (
        [{"reasoning_content": "Let me "}, {"reasoning_content": "think."}],
        {"reasoning_content": "Let me think."},
        CALL,
    ),
    "plain": ([{"reasoning": "Let me "}, {"reasoning": "think."}], {"reasoning": "Let me think."}, CALL),
}
REASONING = ("reasoning", "reasoning_content", "reasoning_details")


@pytest.fixture(params=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Any:
    return SHAPES[request.param]


def streamed(deltas: list[dict[str, Any]], call: dict[str, Any] | None, text: str = "") -> Reply:
    choices = [{"index": 0, "delta": {"role": "assistant", "content": "", **delta}} for delta in deltas]
    if call:
        choices.append({"index": 0, "delta": {"tool_calls": [call]}})
    if text:
        choices.append({"index": 0, "delta": {"content": text}})
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"})
    return Reply.chunks([{"id": "gen-1", "model": "vendor/served", "choices": [choice]} for choice in choices])


def whole(replay: dict[str, Any], call: dict[str, Any] | None, text: str | None = None) -> Reply:
    call = {name: value for name, value in call.items() if name != "index"} if call else None
    message = {"role": "assistant", "content": text, **replay, **({"tool_calls": [call]} if call else {})}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    reply = {"id": "gen-1", "object": "chat.completion", "model": "vendor/served", "choices": [choice]}
    return Reply.raw(200, reply, {"content-type": "application/json"})


def answer(chat: Any, shape: Any) -> Reply:
    return streamed(shape[0], shape[2]) if chat.streams else whole(shape[1], shape[2])


def sent_back(gateway: LocalGateway) -> dict[str, Any]:
    messages = gateway.chat_requests[-1].json["messages"]
    found: dict[str, Any] = next(message for message in messages if message["role"] == "assistant")
    return found


def check(message: dict[str, Any], shape: Any) -> None:
    assert {name: message[name] for name in REASONING if name in message} == shape[1]
    assert message["tool_calls"] == [{name: value for name, value in shape[2].items() if name != "index"}]


def through_memory(message: ChatMessage) -> ChatMessage:
    memory = ChatMemoryBuffer.from_defaults(token_limit=5000)
    memory.put(message)
    return memory.get()[0]


WAYS: dict[str, Callable[[ChatMessage], ChatMessage]] = {
    "as it is": lambda message: message,
    "pickled": lambda message: pickle.loads(pickle.dumps(message)),
    "JSON": lambda message: ChatMessage.model_validate_json(message.model_dump_json()),
    "dict": lambda message: ChatMessage(**json.loads(json.dumps(message.model_dump()))),
    "copied": lambda message: message.model_copy(deep=True),
    "chat memory": through_memory,
}


@pytest.mark.parametrize("way", list(WAYS))
async def test_the_next_turn_carries_the_thinking_as_it_came(
    chat: Any, make_llm: Any, gateway: LocalGateway, shape: Any, way: str
) -> None:
    llm = make_llm(model="openai/gpt-5.4")
    gateway.script(answer(chat, shape))
    question = ChatMessage(role="user", content="Weather in Oslo?")
    message = WAYS[way]((await chat(llm, [question]))[-1].message)
    result = ChatMessage(role="tool", content="4 degrees", additional_kwargs={"tool_call_id": "call_1"})
    await chat(llm, [question, message, result])
    check(sent_back(gateway), shape)
    assert gateway.chat_requests[-1].json["messages"][-1] == {
        "role": "tool",
        "content": "4 degrees",
        "tool_call_id": "call_1",
    }


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"4 degrees in {city}"


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_of_three_turns(make_llm: Any, gateway: LocalGateway, shape: Any, streaming: bool) -> None:
    deltas, replay, call = shape
    second = {**call, "id": "call_2", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    if streaming:
        gateway.script(streamed(deltas, call), streamed(deltas, second), streamed([], None, "Rome is warmer."))
    else:
        gateway.script(whole(replay, call), whole(replay, second), whole({}, None, "Rome is warmer."))
    agent = FunctionAgent(tools=[weather], llm=make_llm(model="openai/gpt-5.4"), streaming=streaming)
    output = await agent.run("Where is it warmer?")
    assert str(output) == "Rome is warmer."

    last = [message for message in gateway.chat_requests[-1].json["messages"] if message["role"] == "assistant"]
    assert [{name: message[name] for name in REASONING if name in message} for message in last] == [replay, replay]
    assert [message["tool_calls"][0]["id"] for message in last] == ["call_1", "call_2"]


async def test_a_context_through_json(make_llm: Any, gateway: LocalGateway, shape: Any) -> None:
    llm = make_llm()
    agent = FunctionAgent(tools=[weather], llm=llm)
    gateway.script(streamed(shape[0], shape[2]))
    *_, last = llm.stream_chat([ChatMessage(role="user", content="Weather in Oslo?")])
    context: Context[Any] = Context(agent)
    await context.store.set("scratchpad", [last.message])
    stored = json.loads(json.dumps(context.to_dict(serializer=JsonSerializer())))
    restored = Context.from_dict(agent, stored, serializer=JsonSerializer())
    llm.chat(await restored.store.get("scratchpad"))
    check(sent_back(gateway), shape)


@pytest.mark.usefixtures("memory_swept")
async def test_memory_of_agents(make_llm: Any, gateway: LocalGateway, shape: Any) -> None:
    gateway.script(streamed(shape[0], shape[2]), streamed([], None, "Cold."))
    memory = Memory.from_defaults(session_id="one")
    agent = FunctionAgent(tools=[weather], llm=make_llm(model="openai/gpt-5.4"))
    await agent.run("Weather in Oslo?", memory=memory)
    gateway.script(streamed([], None, "You are welcome."))
    await agent.run("Thanks!", memory=memory)
    check(sent_back(gateway), shape)


def test_reasoning_shown_once_although_it_came_in_two_forms(make_llm: Any, gateway: LocalGateway) -> None:
    gateway.script(streamed(SHAPES["anthropic"][0], None, "Done."))
    *_, last = make_llm().stream_chat([ChatMessage(role="user", content="Hi.")])
    assert [block.content for block in last.message.blocks if block.block_type == "thinking"] == ["I look it up."]


def test_thoughts_of_other_makers_go_as_text(llm: KiloCode, gateway: LocalGateway) -> None:
    blocks = [ThinkingBlock(content="Hm, "), ThinkingBlock(content="yes."), TextBlock(text="Yes.")]
    llm.chat([ChatMessage(role="assistant", blocks=blocks), ChatMessage(role="user", content="Why?")])
    assert gateway.chat_requests[-1].json["messages"][0] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning": "Hm, yes.",
    }
