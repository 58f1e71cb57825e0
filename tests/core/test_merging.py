"""Pieces of tool calls that arrive together are given as one; everything else is given as it came."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.local import Reply
from kilocode_gateway.wire import Delta, StreamReader, ToolCallDelta
from kilocode_gateway.wire.merging import merged
from tests.core.helpers import BODY, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

HEAD = {"id": "gen-1", "model": "a/served", "created": 5}
PIECES = 4000


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def call(arguments: str, index: int | None = 0, name: str | None = None, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {**({} if index is None else {"index": index}), "function": function, **more}


def calls(*pieces: dict[str, Any], **more: Any) -> dict[str, Any]:
    return chunk({"role": "assistant", "content": None, "tool_calls": list(pieces)}, **more)


def long_call() -> list[dict[str, Any]]:
    first = calls(call("", name="write", id="c1", type="function"))
    rest = [calls(call(f"word{number} ")) for number in range(PIECES)]
    return [first, *rest, chunk({}, "tool_calls")]


WORDS = "".join(f"word{number} " for number in range(PIECES))


def together(deltas: list[Delta]) -> tuple[str, list[str | None], list[str]]:
    pieces = [piece for delta in deltas for piece in delta.tool_calls]
    names = [piece.name for piece in pieces if piece.name]
    return "".join(piece.arguments for piece in pieces), [piece.id for piece in pieces if piece.id], names


def test_what_is_sent_in_one_go_comes_in_few_pieces(gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks(long_call()))
    with transport_to(gateway).stream(BODY) as stream:
        deltas = list(stream)
    assert len(deltas) < PIECES / 20
    assert together(deltas) == (WORDS, ["c1"], ["write"])
    assert stream.completion is not None
    assert stream.completion.tool_calls[0].arguments == WORDS


async def test_what_is_sent_in_one_go_comes_in_few_pieces_async(gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks(long_call()))
    async with await transport_to(gateway).astream(BODY) as stream:
        deltas = [delta async for delta in stream]
    assert len(deltas) < PIECES / 20
    assert together(deltas) == (WORDS, ["c1"], ["write"])


def test_what_is_sent_apart_comes_apart(gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks(long_call(), split="event"))
    deltas = list(transport_to(gateway).stream(BODY))
    assert len(deltas) == PIECES + 2
    assert together(deltas) == (WORDS, ["c1"], ["write"])


async def test_what_is_sent_apart_comes_apart_async(gateway: LocalGateway) -> None:
    gateway.script(Reply.chunks(long_call(), split="event"))
    deltas = [delta async for delta in await transport_to(gateway).astream(BODY)]
    assert len(deltas) == PIECES + 2
    assert together(deltas) == (WORDS, ["c1"], ["write"])


def read(*chunks: dict[str, Any]) -> list[Delta]:
    reader = StreamReader()
    return [delta for found in chunks if (delta := reader.read(json.loads(json.dumps(found)))) is not None]


def test_each_call_has_one_piece_in_the_order_of_their_beginning() -> None:
    interleaved = [
        calls(call("", 1, "two", id="c2")),
        calls(call("", 0, "one", id="c1")),
        calls(call('{"a"', 1), call('{"b"', 0)),
        calls(call(":1}", 0)),
        calls(call(":2}", 1)),
    ]
    (delta,) = merged(read(*interleaved))
    assert delta.tool_calls == [ToolCallDelta(0, "c2", "two", '{"a":2}'), ToolCallDelta(1, "c1", "one", '{"b":1}')]
    pieces = [piece for sent in interleaved for piece in sent["choices"][0]["delta"]["tool_calls"]]
    assert delta.raw == calls(*pieces)
    assert read(delta.raw) == [delta]


def test_a_name_that_comes_late_is_kept() -> None:
    (delta,) = merged(read(calls(call('{"a"', id="c1")), calls(call(":1", name="one")), calls(call("}"))))
    assert delta.tool_calls == [ToolCallDelta(0, "c1", "one", '{"a":1}')]


ODD: dict[str, list[dict[str, Any]]] = {
    "all 0": [call("{}", 0, "one", id="c1"), call("{}", 0, "two", id="c2"), call("", 0, "three", id="c3")],
    "no index": [call("{", None, "one", id="c1"), call("}", None), call("{}", None, "two", id="c2")],
    "repeated ids": [call("{", 0, "one", id="c1"), call('"a":1', 0, "one", id="c1"), call("}", 0, "one", id="c1")],
    "no ids": [call('{"a":1}', 0, "one"), call("{", 0, "one"), call("}", 0)],
    "more beside": [call("{", 0, "one", id="c1", signature="U0lH"), call("}", 0, note={"x": 1})],
}


@pytest.mark.parametrize("form", ODD)
def test_odd_forms_say_the_same_in_one_piece(form: str) -> None:
    deltas = read(*map(calls, ODD[form]))
    (delta,) = merged(deltas)
    apart = [(piece.index, piece.id, piece.name, piece.arguments) for one in deltas for piece in one.tool_calls]
    for piece in delta.tool_calls:
        mine = [other for other in apart if other[0] == piece.index]
        assert piece.arguments == "".join(arguments for _, _, _, arguments in mine)
        assert [piece.id] == [id_ for _, id_, _, _ in mine if id_]
        assert [piece.name] == [name for _, _, name, _ in mine if name]
    assert delta.raw == calls(*ODD[form])
    assert read(delta.raw) == [delta]


ARGUMENTS = calls(call("x"))
APART: dict[str, dict[str, Any]] = {
    "text": chunk({"role": "assistant", "content": "Hi", "tool_calls": [call("x")]}),
    "reasoning": chunk({"role": "assistant", "content": None, "reasoning": "Hm.", "tool_calls": [call("x")]}),
    "refusal": chunk({"role": "assistant", "content": None, "refusal": "no", "tool_calls": [call("x")]}),
    "an image": chunk({"role": "assistant", "content": None, "images": [{"a": 1}], "tool_calls": [call("x")]}),
    "audio": chunk({"role": "assistant", "content": None, "audio": {"data": "QQ=="}, "tool_calls": [call("x")]}),
    "a source": chunk({"role": "assistant", "content": None, "annotations": [{"a": 1}], "tool_calls": [call("x")]}),
    "a finish reason": chunk({"role": "assistant", "content": None, "tool_calls": [call("x")]}, "tool_calls"),
    "usage": calls(call("x"), usage={"prompt_tokens": 1}),
    "another time": calls(call("x"), created=6),
    "the old form": chunk({"role": "assistant", "content": None, "function_call": {"arguments": "x"}}),
    "probabilities": {**HEAD, "choices": [{**ARGUMENTS["choices"][0], "logprobs": {"content": []}}]},
    "another answer": {**HEAD, "choices": [*ARGUMENTS["choices"], {"index": 1, "delta": {"content": "x"}}]},
}


@pytest.mark.parametrize("what", APART)
def test_a_piece_that_brings_more_stays_as_it_is(what: str) -> None:
    begin = calls(call("", name="one", id="c1"))
    deltas = read(begin, ARGUMENTS, APART[what], APART[what], ARGUMENTS, ARGUMENTS)
    found = merged(deltas)
    between = 1 if what in ("a finish reason", "usage", "another time") else 2
    assert len(found) == 2 + between
    assert together(found) == together(deltas)
    if between == 2:
        assert found[1:3] == deltas[2:4]
        assert found[1].raw is deltas[2].raw
    assert (len(found[0].tool_calls), found[0].raw) == (1, calls(call("", name="one", id="c1"), call("x")))
    assert found[-1].raw == calls(call("x"), call("x"))
