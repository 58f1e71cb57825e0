"""LlamaIndex: any messages become a request or are refused, and any answer becomes a response, whole and in pieces."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

pytest.importorskip("llama_index.core", reason="LlamaIndex is not installed")

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ThinkingBlock, ToolCallBlock

from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.wire import StreamReader, shape
from llama_index_kilocode._messages import to_wire
from llama_index_kilocode._replies import StreamedChat, chat_response, log_probs
from tests.properties.holding import holds
from tests.properties.test_answers import chunks
from tests.properties.values import altered, json_of, objects_of, texts

if TYPE_CHECKING:
    from kilocode_gateway.wire import Delta

EXTRA: dict[str, Any] = {
    "reasoning": "I think.",
    "reasoning_details": [{"type": "reasoning.text", "text": "I think."}],
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": {}}
    ],
    "tool_call_id": "c1",
    "cache_control": {"type": "ephemeral"},
    "name": "me",
}
blocks = st.one_of(
    st.builds(lambda text: TextBlock(text=text), texts),
    st.builds(
        lambda id_, kwargs: ToolCallBlock(tool_call_id=id_, tool_name="look", tool_kwargs=kwargs),
        texts,
        texts | objects_of(texts),
    ),
    st.builds(
        lambda text, more: ThinkingBlock(content=text, additional_information=more),
        texts | st.none(),
        altered(st.sampled_from([{}, {"reasoning_content": "I think."}])).filter(lambda value: isinstance(value, dict)),
    ),
)
messages = st.builds(
    lambda role, found, extra: ChatMessage(role=role, blocks=found, additional_kwargs=extra),
    st.sampled_from(list(MessageRole)),
    st.lists(blocks, max_size=3),
    st.just({}) | altered(st.just(EXTRA)).filter(lambda value: isinstance(value, dict)),
)


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@holds(200, said=st.lists(messages, max_size=3))
def test_any_messages_become_a_request_or_are_refused(said: list[ChatMessage]) -> None:
    before = copy.deepcopy(said)
    try:
        body = {"messages": to_wire(said)}
    except KiloCodeError as exc:
        assert str(exc)
    else:
        sent = shape(body, model="a/b", stream=False)
        assert len(sent["messages"]) == len(said)
        assert _written(shape(sent, model="a/b", stream=False)) == _written(sent)
        for message, given in zip(sent["messages"], said, strict=True):
            assert message["content"] is None or isinstance(message["content"], str | list)
            words = [block.text for block in given.blocks if isinstance(block, TextBlock)]
            assert all(_written(text)[1:-1] in _written(message["content"]) for text in words)
    assert repr(said) == repr(before)


@holds(200, found=chunks)
def test_any_answer_is_a_response_whole_and_in_pieces(found: list[dict[str, Any]]) -> None:
    reader = StreamReader()
    streamed = StreamedChat()
    deltas: list[Delta] = [delta for chunk in found if (delta := reader.read(chunk)) is not None]
    parts = [streamed.add(delta) for delta in deltas]
    completion = reader.completion("a/asked")
    whole = chat_response(completion)
    assert _written(whole.additional_kwargs)
    assert "".join(part.delta or "" for part in parts) == completion.text
    calls = [block for block in whole.message.blocks if isinstance(block, ToolCallBlock)]
    assert [call.tool_call_id for call in calls] == [call.id for call in completion.tool_calls]
    if parts:
        last = [block for block in parts[-1].message.blocks if isinstance(block, ToolCallBlock)]
        assert [(call.tool_name, call.tool_kwargs) for call in last] == [
            (call.tool_name, call.tool_kwargs) for call in calls
        ]
        assert all(repr(part) for part in parts)
    assert to_wire([whole.message])[0]["role"] == "assistant"


PROBABILITIES = {
    "content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1}]}]
}


@holds(
    500,
    found=altered(st.just(PROBABILITIES)) | json_of(st.sampled_from(["content", "token", "logprob", "top_logprobs"])),
)
def test_any_log_probabilities_are_read_or_left_out(found: Any) -> None:
    before = json.dumps(found)
    assert log_probs(found) is None or all(
        isinstance(one.logprob, float) for token in log_probs(found) or [] for one in token
    )
    assert json.dumps(found) == before
