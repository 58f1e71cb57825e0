"""LangChain: any messages become a request or are refused, and any answer becomes a message, whole and in pieces."""

from __future__ import annotations

import copy
import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

pytest.importorskip("langchain_openai", reason="LangChain is not installed")

from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.wire import StreamReader, shape
from langchain_kilocode import ChatKiloCode
from langchain_kilocode._messages import to_wire
from langchain_kilocode._replies import last_chunk, to_chunk, to_result
from tests.properties.holding import holds
from tests.properties.test_answers import chunks
from tests.properties.values import altered, json_of, objects_of, texts

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}},
    {"type": "image", "base64": "AA==", "mime_type": "image/png", "detail": "low"},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
    {"type": "file", "base64": "AA==", "mime_type": "application/pdf", "filename": "a.pdf"},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "T"},
    {"type": "audio", "base64": "AA==", "mime_type": "audio/wav"},
    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    {"type": "media", "mime_type": "video/mp4", "data": "AA=="},
    {"type": "reasoning", "reasoning": "I think.", "extras": {"reasoning_details": [{"type": "reasoning.text"}]}},
    {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
    {"type": "tool_call", "id": "c1", "name": "look", "args": {"a": 1}},
    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "found"}], "cache_control": {}},
    {"type": "non_standard", "value": {"type": "text", "text": "x"}},
    {"type": "refusal", "refusal": "No."},
]
EXTRA: dict[str, Any] = {
    "reasoning": "I think.",
    "reasoning_content": "I think.",
    "reasoning_details": [{"type": "reasoning.text", "text": "I think."}],
    "reasoning_replay": ["reasoning_details"],
    "tool_call_extras": {"c1": {"extra_content": {"google": {"thought_signature": "QUJD"}}}},
    "tool_call_arguments": {"c1": "{"},
    "annotations": [{"type": "file", "file": {"hash": "x"}}],
    "images": [{"type": "image_url", "image_url": {"url": "data:,"}}],
    "audio": {"id": "a1"},
    "name": "me",
    "refusal": "No.",
}
NAMES = st.sampled_from(["type", "text", "id", "url", "data", "base64", "mime_type", "source", "image_url", "content"])

blocks = altered(st.sampled_from(BLOCKS)) | objects_of(NAMES) | texts
contents = texts | st.lists(blocks, max_size=3)
extras = st.just({}) | altered(st.just(EXTRA)).filter(lambda value: isinstance(value, dict))
providers = st.sampled_from([{}, {"model_provider": "kilocode"}, {"model_provider": "anthropic"}])
tool_calls = st.lists(
    st.builds(lambda id_, args: {"id": id_, "name": "look", "args": args}, texts | st.none(), objects_of(texts)),
    max_size=2,
)
invalid_calls = st.lists(
    st.builds(lambda id_, args: {"id": id_, "name": "look", "args": args, "error": None}, texts, texts), max_size=1
)
messages: st.SearchStrategy[BaseMessage] = st.one_of(
    st.builds(HumanMessage, content=contents),
    st.builds(SystemMessage, content=contents),
    st.builds(lambda content: ToolMessage(content, tool_call_id="c1"), contents),
    st.builds(lambda role, content: ChatMessage(content, role=role), texts, contents),
    st.builds(
        lambda content, extra, calls, invalid, told: AIMessage(
            content, additional_kwargs=extra, tool_calls=calls, invalid_tool_calls=invalid, response_metadata=told
        ),
        contents,
        extras,
        tool_calls,
        invalid_calls,
        providers,
    ),
)


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@holds(200, said=st.lists(messages, max_size=3))
def test_any_messages_become_a_request_or_are_refused(said: list[BaseMessage]) -> None:
    before = copy.deepcopy(said)
    model = ChatKiloCode(model="a/b", base_url="http://127.0.0.1:9/", api_key="k")
    try:
        body = model._get_request_payload(said)
    except KiloCodeError as exc:
        assert str(exc)
    else:
        assert _written(body["messages"]) == _written(to_wire(said))
        sent = shape(body, model="a/b", stream=False)
        assert _written(shape(sent, model="a/b", stream=False)) == _written(sent)
        for message in sent["messages"]:
            assert isinstance(message["role"], str)
            assert message["content"] is None or isinstance(message["content"], str | list)
        plain = [message for message in said if isinstance(message.content, str) and message.content]
        assert all(any(one["content"] == message.content for one in sent["messages"]) for message in plain)
    assert _written([message.model_dump() for message in said]) == _written(
        [message.model_dump() for message in before]
    )


@holds(200, found=chunks)
def test_any_answer_is_the_sum_of_its_pieces(found: list[dict[str, Any]]) -> None:
    reader = StreamReader()
    pieces = [to_chunk(delta) for chunk in found if (delta := reader.read(chunk)) is not None]
    completion = reader.completion("a/asked")
    whole = to_result([completion]).generations[0].message
    assert isinstance(whole, AIMessage)
    summed: Any = reduce(
        add, [piece.message for piece in pieces if piece is not None] + [last_chunk(completion).message]
    )
    assert summed.content == whole.content == completion.text
    assert [call["id"] for call in summed.tool_calls] == [call["id"] for call in whole.tool_calls]
    assert [call["args"] for call in summed.tool_calls] == [call["args"] for call in whole.tool_calls]
    assert repr(summed.usage_metadata) == repr(whole.usage_metadata)
    assert summed.additional_kwargs.get("reasoning_content", "") == completion.reasoning
    assert to_wire([whole])[0]["role"] == "assistant"


@holds(
    500,
    settings=st.dictionaries(
        st.sampled_from(["temperature", "stop", "provider", "extra_body", "n", "reasoning", "tools", "x"]),
        json_of(leaves=3),
    ),
)
def test_any_settings_of_a_call_are_sent_or_refused(settings: dict[str, Any]) -> None:
    model = ChatKiloCode(model="a/b", base_url="http://127.0.0.1:9/", api_key="k")
    before = copy.deepcopy(settings)
    try:
        body = model._get_request_payload([HumanMessage("Hello")], **settings)
    except (KiloCodeError, ValueError) as exc:
        assert str(exc)
    else:
        for name, value in settings.items():
            assert name == "tools" or _written(body.get(name)) == _written(value)
    assert _written(settings) == _written(before)
