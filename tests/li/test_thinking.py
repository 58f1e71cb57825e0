"""Thinking goes back exactly as it came, for each upstream's shape, whatever the conversation went through."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.workflow import Context, JsonSerializer

from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
CLAUDE = "anthropic-claude-v1"
GEMINI = "google-gemini-v1"
OPENAI = "openai-responses-v1"
TEXT = {"type": "reasoning.text", "format": CLAUDE, "index": 0}
SEALED = {"type": "reasoning.encrypted", "data": "T1BBUVVF", "id": "rs_1", "format": OPENAI, "index": 0}
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
    "gemini, signed call": ([{"reasoning_content": "Hm."}], {"reasoning_content": "Hm."}, GEMINI_CALL),
    "anthropic, the closing block repeats the text": (
        [
            {"reasoning_details": [{**TEXT, "text": "I look "}]},
            {"reasoning_details": [{**TEXT, "text": "it up."}]},
            {"reasoning_details": [{**TEXT, "text": "I look it up.", "signature": "U0lHTkVE"}]},
        ],
        {"reasoning_details": [{**TEXT, "text": "I look it up.", "signature": "U0lHTkVE"}]},
        CALL,
    ),
    "anthropic, blocks between text": (
        [
            {
                "reasoning": "I look ",
                "reasoning_details": [{**TEXT, "text": "I look ", "signature": "UzE="}],
            },
            {"content": "Wait. "},
            {
                "reasoning": "it up.",
                "reasoning_details": [{**TEXT, "text": "it up.", "index": 2}],
            },
            {"reasoning_details": [{**TEXT, "signature": "UzI=", "index": 2}]},
        ],
        {
            "reasoning_details": [
                {**TEXT, "text": "I look ", "signature": "UzE="},
                {**TEXT, "text": "it up.", "signature": "UzI=", "index": 2},
            ]
        },
        CALL,
    ),
    "anthropic, redacted": (
        [{"reasoning_details": [{"type": "reasoning.encrypted", "data": "UkVE", "format": CLAUDE, "index": 0}]}],
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "UkVE", "format": CLAUDE, "index": 0}]},
        CALL,
    ),
    "openai, two items": (
        [{"reasoning_details": [SEALED]}, {"reasoning_details": [{**SEALED, "data": "T1RIRVI=", "id": "rs_2"}]}],
        {"reasoning_details": [SEALED, {**SEALED, "data": "T1RIRVI=", "id": "rs_2"}]},
        CALL,
    ),
    "forms that take turns": (
        [
            {"reasoning": "Let me "},
            {"reasoning_details": [{"type": "reasoning.text", "text": "Let me ", "format": GEMINI, "index": 0}]},
            {"reasoning": "think."},
            {"reasoning_details": [{"type": "reasoning.text", "text": "think.", "format": GEMINI, "index": 0}]},
        ],
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Let me think.", "format": GEMINI, "index": 0},
            ]
        },
        CALL,
    ),
    "two names at once": (
        [{"reasoning": text, "reasoning_content": text} for text in ("Let me ", "think.")],
        {"reasoning_content": "Let me think."},
        CALL,
    ),
    "plain": ([{"reasoning": "Let me "}, {"reasoning": "think."}], {"reasoning": "Let me think."}, CALL),
}
SHOWN = {
    "gemini": "Hm.",
    "gemini, signed call": "Hm.",
    "openai": "Planning.",
    "openai, encrypted only": None,
    "openai, two items": None,
    "anthropic, redacted": None,
    **{name: "I look it up." for name in SHAPES if name.startswith("anthropic") and "redacted" not in name},
}
"""What of each shape can be read, unless it is "Let me think."."""
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


def sent_back(gateway: LocalGateway) -> list[dict[str, Any]]:
    messages = gateway.chat_requests[-1].json["messages"]
    return [message for message in messages if message["role"] == "assistant"]


def check(gateway: LocalGateway, shape: Any, count: int, why: str = "") -> None:
    call = {name: value for name, value in shape[2].items() if name != "index"}
    sent = sent_back(gateway)
    reasoning = [{name: message[name] for name in REASONING if name in message} for message in sent]
    assert reasoning == [shape[1]] * count, why
    assert [message["tool_calls"] for message in sent] == [[call]] * count, why


def through_memory(history: list[ChatMessage]) -> list[ChatMessage]:
    memory = ChatMemoryBuffer.from_defaults(token_limit=5000)
    memory.put_messages(history)
    return memory.get()


async def through_new_memory(history: list[ChatMessage]) -> list[ChatMessage]:
    memory = Memory.from_defaults(session_id="one", token_limit=5000)
    await memory.aput_messages(history)
    found: list[ChatMessage] = await memory.aget()
    await memory.sql_store._async_engine.dispose()  # the framework has no close
    return found


async def through_context(history: list[ChatMessage]) -> list[ChatMessage]:
    agent = FunctionAgent(tools=[weather], llm=KiloCode())
    context: Context[Any] = Context(agent)
    await context.store.set("scratchpad", history)
    stored = json.loads(json.dumps(context.to_dict(serializer=JsonSerializer())))
    restored = Context.from_dict(agent, stored, serializer=JsonSerializer())
    found: list[ChatMessage] = await restored.store.get("scratchpad")
    return found


WAYS: dict[str, Callable[[list[ChatMessage]], Any]] = {
    "as it is": list,
    "pickled": lambda history: pickle.loads(pickle.dumps(history)),
    "JSON": lambda history: [ChatMessage.model_validate_json(one.model_dump_json()) for one in history],
    "dict": lambda history: [ChatMessage(**json.loads(json.dumps(one.model_dump()))) for one in history],
    "copied": lambda history: [one.model_copy(deep=True) for one in history],
    "chat memory": through_memory,
    "memory": through_new_memory,
    "context": through_context,
}


async def test_three_turns_go_back_as_they_came(chat: Any, make_llm: Any, gateway: LocalGateway, shape: Any) -> None:
    llm = make_llm()
    result = ChatMessage(role="tool", content="4 degrees", additional_kwargs={"tool_call_id": "call_1"})
    history = [ChatMessage(role="user", content="Weather in Oslo?")]
    for turn in range(3):
        gateway.script(answer(chat, shape))
        message = (await chat(llm, list(history)))[-1].message
        check(gateway, shape, turn)
        history += [message, result]
    before = copy.deepcopy(history)
    for name, way in WAYS.items():
        kept = way(history)
        kept = await kept if inspect.isawaitable(kept) else kept
        await chat(llm, kept)
        check(gateway, shape, 3, name)
        sent = gateway.chat_requests[-1].json["messages"][-1]
        assert sent == {"role": "tool", "content": "4 degrees", "tool_call_id": "call_1"}, name
    assert history == before


@pytest.mark.parametrize("name", SHAPES)
async def test_what_can_be_read_is_shown_once(chat: Any, llm: KiloCode, gateway: LocalGateway, name: str) -> None:
    gateway.script(answer(chat, SHAPES[name]))
    responses = await chat(llm)
    shown = SHOWN.get(name, "Let me think.")
    (block,) = [block for block in responses[-1].message.blocks if block.block_type == "thinking"]
    assert block.content == shown
    assert block.additional_information == SHAPES[name][1]
    if chat.streams:
        deltas = [response.additional_kwargs.get("thinking_delta", "") for response in responses]
        assert "".join(deltas) == (shown or "")
        assert "" not in [delta for delta in deltas[:1] if shown]


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


async def test_memory_of_agents(make_llm: Any, gateway: LocalGateway, shape: Any) -> None:
    gateway.script(streamed(shape[0], shape[2]), streamed([], None, "Cold."))
    memory = Memory.from_defaults(session_id="one")
    agent = FunctionAgent(tools=[weather], llm=make_llm(model="openai/gpt-5.4"))
    await agent.run("Weather in Oslo?", memory=memory)
    gateway.script(streamed([], None, "You are welcome."))
    await agent.run("Thanks!", memory=memory)
    (sent, _) = sent_back(gateway)
    assert {name: sent[name] for name in REASONING if name in sent} == shape[1]


@pytest.mark.parametrize("odd", [["I think."], {"text": "I think."}, 5, True], ids=repr)
@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "tool_calls"])
def test_what_other_makers_keep_under_these_names_spoils_no_request(
    llm: KiloCode, gateway: LocalGateway, name: str, odd: Any
) -> None:
    ours = ThinkingBlock(content="I think.", additional_information={"reasoning_content": "I think."})
    theirs = ThinkingBlock(content=None, additional_information={name: odd})
    said = ChatMessage(role="assistant", blocks=[ours, theirs, TextBlock(text="Hi.")], additional_kwargs={name: odd})
    gateway.script(Reply.text("Hello."))
    llm.chat([said, ChatMessage(role="user", content="Hello")])
    assert gateway.last_request.json["messages"][0] == {
        "role": "assistant",
        "content": "Hi.",
        "reasoning_content": "I think.",
    }


def test_thoughts_of_other_makers_go_as_text(llm: KiloCode, gateway: LocalGateway) -> None:
    blocks = [ThinkingBlock(content="Hm, "), ThinkingBlock(content="yes."), TextBlock(text="Yes.")]
    llm.chat([ChatMessage(role="assistant", blocks=blocks), ChatMessage(role="user", content="Why?")])
    assert gateway.chat_requests[-1].json["messages"][0] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning": "Hm, yes.",
    }


@pytest.mark.filterwarnings("always:reasoning_effort")
async def test_warning_names_the_users_line(make_llm: Any) -> None:
    llm = make_llm(model="kilo/auto", reasoning_effort="low")
    with pytest.warns(UserWarning, match="reasoning_effort") as caught:
        llm.complete("Hello")
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="reasoning_effort") as caught:
        await llm.acomplete("Hello")
    assert caught[0].filename == __file__
