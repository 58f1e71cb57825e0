"""Counting tokens: offline, for text in any script, for messages with images, files, tools and reasoning."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.tools import tool

from kilocode_gateway import ConfigurationError
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode

MODEL = ChatKiloCode(model="a/b", api_key="k")
DATA = base64.b64encode(b"x" * 300_000).decode()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every socket."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _count(*content: Any, **more: Any) -> int:
    return MODEL.get_num_tokens_from_messages([HumanMessage(list(content))], **more)


# What well-known tokenizers make of such texts lies between the two numbers.
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Hello there, how are you today my friend?", 9, 14),
        ("今天天气怎么样。我想去公园散步。" * 10, 90, 240),
        ("吾輩は猫である。名前はまだ無い。" * 10, 90, 240),
        ("Привет, как дела, что нового сегодня?" * 10, 100, 250),
        ("def add(first, second):\n    return first + second\n", 9, 18),
        ("", 0, 0),
    ],
    ids=["English", "Chinese", "Japanese", "Russian", "Python", "nothing"],
)
@pytest.mark.usefixtures("offline")
def test_text_in_any_script(text: str, least: int, most: int) -> None:
    assert least <= MODEL.get_num_tokens(text) <= most
    assert least <= MODEL.get_num_tokens_from_messages([HumanMessage(text)]) - 4 <= most
    assert len(MODEL.get_token_ids(text)) == MODEL.get_num_tokens(text)


@pytest.mark.usefixtures("offline")
def test_half_of_a_character_counts_too() -> None:
    assert MODEL.get_num_tokens("\ud83d abc") == 2
    assert MODEL.get_num_tokens_from_messages([HumanMessage("\ud83d abc")]) > 2


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        ({"type": "image", "base64": DATA, "mime_type": "image/png"}, 85),
        ({"type": "image_url", "image_url": {"url": "https://example.invalid/a.png"}}, 85),
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}, 85),
        ({"type": "file", "base64": DATA, "mime_type": "application/pdf"}, 3000),
        ({"type": "file", "url": "https://example.invalid/a.pdf", "mime_type": "application/pdf"}, 85),
        ({"type": "audio", "base64": DATA, "mime_type": "audio/wav"}, 3000),
        ({"type": "video", "base64": DATA, "mime_type": "video/mp4"}, 3000),
    ],
    ids=["image", "linked image", "Anthropic's image", "PDF", "linked PDF", "sound", "video"],
)
@pytest.mark.usefixtures("offline")
def test_attachment_counts_as_what_it_is_and_not_as_text(block: dict[str, Any], tokens: int) -> None:
    text = {"type": "text", "text": "What is this?"}
    assert _count(text, block) - _count(text) == pytest.approx(tokens, abs=10)
    seen = [ToolMessage([block], tool_call_id="call_1")] if block["type"] == "image" else []
    assert MODEL.get_num_tokens_from_messages(seen) <= 100


@tool
def look(place: str) -> str:
    """Look at a place, and tell in many words what is to be seen there at this time of the year."""
    return place


@pytest.mark.usefixtures("offline")
def test_tools_calls_and_reasoning_count() -> None:
    assert _count("Hi", tools=[look]) - _count("Hi") > 30
    call = {"name": "look", "args": {"place": "東京" * 100}, "id": "call_1", "type": "tool_call"}
    silent = MODEL.get_num_tokens_from_messages([AIMessage("")])
    assert MODEL.get_num_tokens_from_messages([AIMessage("", tool_calls=[call])]) - silent > 150
    thought = "I think. " * 100
    for extra in (
        {"reasoning_content": thought},
        {
            "reasoning_content": thought,
            "reasoning_details": [{"type": "reasoning.text", "text": thought}],
            "reasoning_replay": ["reasoning_content", "reasoning_details"],
        },
    ):
        counted = MODEL.get_num_tokens_from_messages([AIMessage("", additional_kwargs=extra)])
        assert 220 < counted - silent < 260


@pytest.mark.usefixtures("offline")
def test_parts_add_up_and_what_cannot_be_sent_counts_too() -> None:
    messages = [SystemMessage("Be short."), HumanMessage("Hello"), AIMessage("Hi"), HumanMessage([{"type": "image"}])]
    each = [MODEL.get_num_tokens_from_messages([message]) for message in messages]
    assert MODEL.get_num_tokens_from_messages(messages) == sum(each)
    assert all(each)
    assert MODEL.get_num_tokens_from_messages([]) == 0


@pytest.mark.usefixtures("offline")
def test_users_own_tokenizer_counts_messages_too() -> None:
    model = ChatKiloCode(custom_get_token_ids=lambda text: list(range(len(text))))
    assert model.get_num_tokens("abc") == 3
    assert model.get_num_tokens_from_messages([HumanMessage("a" * 50)]) == len("user") + 50 + 3


@pytest.mark.usefixtures("offline")
def test_trim_messages() -> None:
    messages = [HumanMessage(f"{number} " + "今天天气怎么样" * 20) for number in range(10)]
    kept = trim_messages(messages, max_tokens=350, token_counter=MODEL, strategy="last")
    assert [message.text[0] for message in kept] == ["7", "8", "9"]


def test_summarization_that_counts_with_the_model(model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("A summary."), Reply.text("Done."))
    middleware = SummarizationMiddleware(
        model, trigger=("tokens", 2000), keep=("messages", 1), token_counter=model.get_num_tokens_from_messages
    )
    # 3,500 characters: fewer than 1,000 tokens by letters, more than 2,000 as they are.
    messages = [*(HumanMessage("今天天气怎么样" * 50) for _ in range(10)), HumanMessage("Well?")]
    result = create_agent(model, [], middleware=[middleware]).invoke({"messages": messages})
    assert result["messages"][-1].text == "Done."
    assert len(gateway.chat_requests) == 2


@pytest.mark.parametrize("message", [HumanMessage([{"type": ["a"]}]), RemoveMessage(id="1")], ids=["block", "message"])
def test_what_nobody_can_count_is_named(message: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'type' of a content block|RemoveMessage is no message"):
        MODEL.get_num_tokens_from_messages([message])
