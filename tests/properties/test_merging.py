"""Pieces that arrive together: whatever a stream brings and however it is cut into reads, its sum is the same."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from kilocode_gateway.wire import Delta, StreamReader
from kilocode_gateway.wire.merging import merged
from tests.properties.holding import holds
from tests.properties.test_answers import HEAD, chunks, told
from tests.properties.values import altered

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "one", "arguments": "{}"}}
OTHER = {"index": 1, "id": "c2", "function": {"name": "two", "arguments": '{"a":'}}
MORE = {"index": 0, "function": {"arguments": "1}"}}

pieces_of_calls = st.lists(altered(st.sampled_from([CALL, OTHER, MORE, MORE]), most=1), min_size=1, max_size=3)
streams = st.one_of(
    told().map(lambda both: [{**HEAD, "choices": [{"index": 0, "delta": delta}]} for delta in both[1]]),
    st.lists(pieces_of_calls, max_size=6).map(
        lambda found: [{**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": pieces}}]} for pieces in found]
    ),
    chunks,
)


def _sum(deltas: list[Delta]) -> list[Any]:
    calls: dict[int, list[Any]] = {}
    for piece in (piece for delta in deltas for piece in delta.tool_calls):
        call = calls.setdefault(piece.index, [None, None, ""])
        assert piece.id is None or call[0] is None
        assert piece.name is None or call[1] is None
        calls[piece.index] = [piece.id or call[0], piece.name or call[1], call[2] + piece.arguments]
    rest = [delta for delta in deltas if not delta.tool_calls or delta.text or delta.reasoning or delta.refusal]
    return [list(calls.items()), [repr(delta) for delta in rest], *_texts(deltas)]


def _texts(deltas: list[Delta]) -> list[Any]:
    names = ("reasoning_details", "annotations", "images")
    lists = [[item for delta in deltas for item in getattr(delta, name)] for name in names]
    return [
        "".join(delta.text for delta in deltas),
        json.dumps(lists),
        repr([delta.logprobs for delta in deltas if delta.logprobs]),
    ]


@holds(300, found=streams, reads=st.lists(st.integers(0, 12), max_size=4))
def test_the_sum_of_a_stream_does_not_depend_on_its_reads(found: list[Any], reads: Sequence[int]) -> None:
    reader = StreamReader()
    deltas = [delta for chunk in found if (delta := reader.read(chunk)) is not None]
    marks = sorted({0, len(deltas), *(mark for mark in reads if mark < len(deltas))})
    pieces = [delta for start, end in itertools.pairwise(marks) for delta in merged(deltas[start:end])]
    assert _sum(pieces) == _sum(deltas)
    assert all(len({piece.index for piece in delta.tool_calls}) == len(delta.tool_calls) for delta in pieces)
    again = StreamReader()
    for delta in pieces:
        again.read(json.loads(json.dumps(delta.raw)))
    whole = StreamReader()
    for delta in deltas:
        whole.read(delta.raw)
    assert json.dumps(again.completion("a/asked").raw) == json.dumps(whole.completion("a/asked").raw)
