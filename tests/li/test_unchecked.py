"""What the pieces of a stream are, built without validation: the same objects that validation would have left."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import BaseModel

from kilocode_gateway.wire import Delta, ToolCallDelta
from llama_index_kilocode import _unchecked
from llama_index_kilocode._replies import StreamedChat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORDS = [
    Delta(text=text, raw={"id": "gen-1", "choices": [{"delta": {"content": text}}]}) for text in ("Hi", "", " ä€𝄞")
]
THOUGHTS = [Delta(reasoning=text, raw={"n": place}) for place, text in enumerate(("Hm", ".\n", "ä"))]
BEGUN = [Delta(tool_calls=[ToolCallDelta(0, "c1", "add", "")])]
CALLS = [
    *BEGUN,
    Delta(tool_calls=[ToolCallDelta(0, None, None, '{"a"'), ToolCallDelta(1, "c2", None, "")]),
    Delta(tool_calls=[ToolCallDelta(1, None, "now", ""), ToolCallDelta(0, None, None, ": 1}")]),
    Delta(tool_calls=[ToolCallDelta(2, None, "late", "{}")]),
]
SURE = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]}
SHAPES: dict[str, list[Delta]] = {
    "text": WORDS,
    "thoughts": THOUGHTS,
    "thoughts, then text": [*THOUGHTS, *WORDS],
    "both at once": [Delta(text="Hi", reasoning="Hm"), Delta(text="!", reasoning="?")],
    "a call": CALLS,
    "a call without arguments": BEGUN,
    "thoughts, text, calls": [*THOUGHTS, *WORDS, *CALLS],
    "calls, then text": [*CALLS, *WORDS],
    "everything at once": [Delta("a", "b", tool_calls=[ToolCallDelta(0, "c1", "add", "{")], logprobs=SURE)],
    "log probabilities": [Delta(text="Hi", logprobs=SURE), Delta(text="!", logprobs={"content": []})],
    "nothing": [Delta(), Delta(refusal="No."), Delta(images=[{"type": "image_url"}])],
}
PIECES = [(name, place) for name, deltas in SHAPES.items() for place in range(len(deltas))]
SLOTS = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def made(shape: str, place: int) -> ChatResponse:
    answer = StreamedChat()
    return [answer.add(delta) for delta in SHAPES[shape][: place + 1]][-1]


def validated(shape: str, place: int) -> ChatResponse:
    """Give the same response, out of the framework's constructors with every field given."""
    deltas = SHAPES[shape][: place + 1]
    last, calls = deltas[-1], calls_of(deltas)
    thoughts, text = "".join(delta.reasoning for delta in deltas), "".join(delta.text for delta in deltas)
    blocks: list[Any] = []
    if thoughts:
        blocks.append(filled(ThinkingBlock, content=thoughts))
    if text or not calls:
        blocks.append(filled(TextBlock, text=text))
    for call_id, name, arguments in calls:
        blocks.append(filled(ToolCallBlock, tool_call_id=call_id, tool_name=name, tool_kwargs=arguments or {}))
    parts = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in calls
    ]
    extra = {"tool_calls": parts} if parts else {}
    sure = [[LogProb(token="Hi", logprob=-0.5, bytes=[72, 105])]] if last.logprobs == SURE else None
    return filled(
        ChatResponse,
        message=filled(ChatMessage, role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra),
        raw=last.raw,
        delta=last.text,
        logprobs=sure,
        additional_kwargs={"thinking_delta": last.reasoning} if last.reasoning else {},
    )


def calls_of(deltas: list[Delta]) -> list[list[Any]]:
    calls: list[list[Any]] = []
    for delta in deltas:
        for piece in delta.tool_calls:
            if piece.index == len(calls):
                calls.append([piece.id, "", ""])
            calls[piece.index][1] += piece.name or ""
            calls[piece.index][2] += piece.arguments
    return calls


def filled(cls: type[Any], **values: Any) -> Any:
    defaults = {name: field.get_default(call_default_factory=True) for name, field in cls.model_fields.items()}
    return cls(**{**defaults, **values})


def inside(value: Any) -> Iterator[BaseModel]:
    """Give each of pydantic's objects in a value, in order."""
    if isinstance(value, BaseModel):
        yield value
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from inside(inner)


def same(one: ChatResponse, other: ChatResponse) -> None:
    """See that nothing tells two responses apart."""
    assert one == other
    assert repr(one) == repr(other)
    assert str(one) == str(other)
    for mine, theirs in zip(inside(one), inside(other), strict=True):
        assert type(mine) is type(theirs)
        assert list(vars(mine)) == list(type(mine).model_fields)
        assert vars(mine) == vars(theirs)
        for slot in SLOTS:
            assert getattr(mine, slot) == getattr(theirs, slot)
            assert type(getattr(mine, slot)) is type(getattr(theirs, slot))
    for how in ({}, {"exclude_unset": True}, {"exclude_defaults": True}, {"exclude_none": True}, {"mode": "json"}):
        assert one.model_dump(**how) == other.model_dump(**how)
    assert one.model_dump_json() == other.model_dump_json()


COPIES: dict[str, Callable[[ChatResponse], ChatResponse]] = {
    "itself": lambda response: response,
    "model_copy": lambda response: response.model_copy(),
    "deep model_copy": lambda response: response.model_copy(deep=True),
    "changed": lambda response: response.model_copy(update={"delta": "x", "message": response.message.model_copy()}),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda response: pickle.loads(pickle.dumps(response)),
    "JSON": lambda response: ChatResponse.model_validate_json(response.model_dump_json()),
    "dump": lambda response: ChatResponse.model_validate(response.model_dump()),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(("shape", "place"), PIECES)
def test_a_piece_is_what_validation_would_have_left(shape: str, place: int, way: str) -> None:
    same(COPIES[way](made(shape, place)), COPIES[way](validated(shape, place)))


@pytest.mark.parametrize(("shape", "place"), PIECES)
def test_a_piece_is_valid(shape: str, place: int) -> None:
    one = made(shape, place)
    assert ChatResponse.model_validate(one.model_dump(exclude_unset=True)) == one


def test_what_is_done_to_a_piece_is_done_to_it_alone() -> None:
    answer, other = StreamedChat(), StreamedChat()
    for delta in SHAPES["thoughts, text, calls"]:
        for response in (answer.add(delta), other.add(delta)):
            if response.message.additional_kwargs:
                response.message.additional_kwargs["tool_calls"].append({"mine": True})
            response.message.blocks[0].additional_information["mine"] = True  # type: ignore[union-attr]
            response.message.blocks.append(TextBlock(text="mine"))
            response.additional_kwargs["mine"] = True
            response.message.additional_kwargs["mine"] = True
            response.message.model_fields_set.clear()
            response.delta = "mine"
    last = answer.add(Delta(raw={}))
    assert "mine" not in repr(last)
    assert last.message.model_fields_set == set(ChatMessage.model_fields)


def test_defaults_stay_the_frameworks_own() -> None:
    for name, cls in (
        ("_TEXT", TextBlock),
        ("_THOUGHTS", ThinkingBlock),
        ("_CALL", ToolCallBlock),
        ("_MESSAGE", ChatMessage),
        ("_RESPONSE", ChatResponse),
    ):
        assert list(getattr(_unchecked, name)) == list(cls.model_fields)
        assert not cls.__private_attributes__
