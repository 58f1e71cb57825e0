"""Reading answers: any JSON is an answer or one error, and the pieces of an answer are the answer."""

from __future__ import annotations

import contextlib
import itertools
import json
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from kilocode_gateway.bodies import read_choices, read_payload
from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.usage import record, track_usage
from kilocode_gateway.wire import Completion, Delta, StreamReader, Usage, read_completions
from kilocode_gateway.wire.embeddings import read_vectors
from kilocode_gateway.wire.reply import error_in
from tests.properties.holding import holds
from tests.properties.test_stream_bytes import opened
from tests.properties.values import altered, json_of, numbers, objects_of, texts

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

USAGE: dict[str, Any] = {
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
    "cost": 0.0123,
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": 0.01},
}
HEAD: dict[str, Any] = {
    "id": "gen-1",
    "model": "a/served",
    "provider": "P",
    "created": 5,
    "system_fingerprint": "fp",
    "service_tier": "default",
}
MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": [{"type": "text", "text": "Hel"}, {"type": "image_url", "image_url": {"url": "data:,"}}],
    "reasoning": "I think.",
    "reasoning_content": "I think.",
    "reasoning_details": [{"type": "reasoning.text", "text": "I think.", "signature": "U0lH", "index": 0}],
    "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "one", "arguments": "{}"}}],
    "function_call": {"name": "one", "arguments": {"a": 1}},
    "annotations": [{"type": "url_citation"}],
    "images": [{"type": "image_url"}],
    "audio": {"id": "a1", "data": "QUJD", "transcript": "Hello"},
    "refusal": "no",
    "provider_metadata": {"gateway": {"routing": {"finalProvider": "Q"}, "cost": "0.5"}},
}
CHOICE: dict[str, Any] = {
    "index": 0,
    "finish_reason": "stop",
    "native_finish_reason": "end",
    "logprobs": {"content": [{"token": "He"}], "refusal": None},
    "text": "Hello",
}
WHOLE = {**HEAD, "choices": [{**CHOICE, "message": MESSAGE}], "usage": USAGE}
CHUNK = {**HEAD, "choices": [{**CHOICE, "delta": MESSAGE}], "usage": USAGE}
NAMES = st.sampled_from([*HEAD, *MESSAGE, *CHOICE, *USAGE, "choices", "usage", "delta", "message", "error"])

wholes = altered(st.just(WHOLE), most=4) | objects_of(NAMES, leaves=12)
chunks = st.lists(altered(st.just(CHUNK), most=4) | objects_of(NAMES, leaves=12), max_size=4)


def _check(answer: Completion) -> None:
    """Hold what each field of an answer promises."""
    for name in ("id", "model", "requested_model", "text", "reasoning", "refusal"):
        assert isinstance(getattr(answer, name), str), name
    for name in ("provider", "finish_reason", "native_finish_reason", "system_fingerprint", "service_tier"):
        assert getattr(answer, name) is None or isinstance(getattr(answer, name), str), name
    assert answer.created is None or type(answer.created) is int
    assert type(answer.index) is int
    for call in answer.tool_calls:
        assert all(isinstance(text, str) for text in (call.id, call.name, call.arguments))
        assert call.id
        assert json.dumps(call.as_message_part())
    assert all(isinstance(part, dict) for part in (*answer.annotations, *answer.images, *answer.reasoning_details))
    if answer.usage is not None:
        _check_usage(answer.usage)
    assert repr(answer)
    assert json.dumps(answer.raw)
    assert repr(pickle.loads(pickle.dumps(answer))) == repr(answer)


def _check_usage(usage: Usage) -> None:
    assert usage.cost is None or (isinstance(usage.cost, Decimal) and 0 <= usage.cost <= 10**9)
    names = [name for name in Usage.__slots__ if name.endswith("_tokens")]
    assert all(getattr(usage, name) is None or type(getattr(usage, name)) is int for name in names)
    assert type(usage.total_tokens) is int
    assert json.dumps({name: getattr(usage, name) for name in names})


@holds(500, payload=wholes)
def test_any_object_is_an_answer_or_one_error(payload: dict[str, Any]) -> None:
    before = json.dumps(payload)
    try:
        answers = read_choices(read_payload(before.encode(), opened()), opened(), "a/asked")
    except KiloCodeError as exc:
        assert str(exc)
        with contextlib.suppress(ValueError):
            assert read_completions(payload, "a/asked")
            assert error_in(payload) is not None
    else:
        assert len(answers) == len(payload["choices"])
        for answer in answers:
            _check(answer)
        read_completions(payload, "a/asked")
    assert json.dumps(payload) == before


@holds(200, found=chunks)
def test_the_pieces_of_any_chunks_are_the_answer(found: list[dict[str, Any]]) -> None:
    before = json.dumps(found)
    reader = StreamReader()
    pieces = [delta for chunk in found if (delta := reader.read(chunk)) is not None]
    answer = reader.completion("a/asked")
    assert json.dumps(found) == before
    _check(answer)
    assert all(isinstance(delta, Delta) and repr(delta) for delta in pieces)
    assert "".join(delta.text for delta in pieces) == answer.text
    assert "".join(delta.reasoning for delta in pieces) == answer.reasoning
    assert "".join(delta.refusal for delta in pieces) == answer.refusal
    assert json.dumps([note for delta in pieces for note in delta.annotations]) == json.dumps(answer.annotations)
    assert json.dumps([image for delta in pieces for image in delta.images]) == json.dumps(answer.images)
    for index, call in enumerate(answer.tool_calls):
        mine = [piece for delta in pieces for piece in delta.tool_calls if piece.index == index]
        assert [piece.id for piece in mine] == [call.id] + [None] * (len(mine) - 1)
        assert [piece.name for piece in mine if piece.name] == ([call.name] if call.name else [])
        assert "".join(piece.arguments for piece in mine) == call.arguments
    last = reader.last()
    assert last.finish_reason == answer.finish_reason
    assert repr(last.usage) == repr(answer.usage)
    again = read_completions(answer.raw, "a/asked")[0]
    for name in ("text", "refusal", "finish_reason", "model", "id"):
        assert getattr(again, name) == getattr(answer, name), name


CALL_STYLES = ("index", "index as text", "all 0", "no index", "id in each piece")


def _pieces_of_call(number: int, call: dict[str, Any], parts: list[str], style: str) -> list[dict[str, Any]]:
    index = {"index": number, "index as text": str(number), "all 0": 0, "id in each piece": number}.get(style)
    pieces = []
    for place, part in enumerate(parts):
        piece: dict[str, Any] = {"function": {"arguments": part}}
        if index is not None:
            piece["index"] = index
        if place == 0 or style == "id in each piece":
            piece = {**piece, "id": call["id"], "type": "function"}
        if place == 0:
            piece["function"] = {"name": call["function"]["name"], **piece["function"]}
        pieces.append(piece)
    return pieces


@st.composite
def cut_up(draw: DrawFn, text: str) -> list[str]:
    marks = sorted({0, len(text), *draw(st.lists(st.integers(0, len(text)), max_size=3))})
    return [text[start:end] for start, end in itertools.pairwise(marks)] or [text]


@st.composite
def told(draw: DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give a message, and the deltas that say the same."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}] if draw(st.booleans()) else []
    message: dict[str, Any] = {"role": "assistant", "content": None}
    thought = draw(texts)
    forms = draw(st.sampled_from([(), ("reasoning",), ("reasoning_content",), ("reasoning", "reasoning_details")]))
    if thought and forms:
        for part in draw(cut_up(thought)):
            detail = {"type": "reasoning.text", "text": part, "index": 0}
            deltas.append({form: [detail] if form == "reasoning_details" else part for form in forms})
        detail = {"type": "reasoning.text", "text": thought, "index": 0}
        if "reasoning_details" in forms and draw(st.booleans()):
            # Some upstreams repeat the whole text beside its signature.
            again = {"text": thought} if draw(st.booleans()) else {}
            closing = {"type": "reasoning.text", "signature": "U0lH", "index": 0, **again}
            deltas.append({"reasoning_details": [closing]})
            detail["signature"] = "U0lH"
        message.update({form: [detail] if form == "reasoning_details" else thought for form in forms})
    text = draw(texts)
    if text:
        message["content"] = text
        deltas += [{"content": part} for part in draw(cut_up(text))]
    calls = draw(st.lists(st.tuples(st.sampled_from(["one", "two"]), objects_of(st.sampled_from("ab"))), max_size=3))
    style = draw(st.sampled_from(CALL_STYLES))
    for number, (name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"id": f"c{number}", "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)
        pieces = _pieces_of_call(number, call, draw(cut_up(function["arguments"])), style)
        deltas += [{"tool_calls": [piece]} for piece in pieces]
    return message, deltas


@holds(200, both=told())
def test_a_stream_says_what_the_same_answer_says_at_once(both: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    message, deltas = both
    reader = StreamReader()
    for delta in deltas:
        reader.read({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    reader.read({**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE})
    streamed = reader.completion("a/asked")
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = read_completions({**HEAD, "choices": [choice], "usage": USAGE}, "a/asked")[0]
    again = read_completions(streamed.raw, "a/asked")[0]
    for name in Completion.__slots__:
        if name != "raw":
            assert getattr(streamed, name) == getattr(whole, name), name
            assert getattr(again, name) == getattr(whole, name), name


@holds(
    200,
    usages=st.lists(
        st.dictionaries(st.sampled_from(sorted(USAGE)), numbers)
        | altered(st.just(USAGE))
        | json_of(st.sampled_from([*USAGE, "x"])),
        max_size=4,
    ),
    cost=json_of(),
)
def test_any_usage_is_counted(usages: list[Any], cost: Any) -> None:
    with track_usage() as spent:
        for usage in usages:
            found = Usage.read(usage, cost)
            if found is not None:
                _check_usage(found)
                assert repr(found)
            record("a/served", found, (spent,))
    assert spent.total.calls == len(usages)
    assert spent.total.cost.is_finite()
    assert str(spent)
    assert repr(spent)


indexes = st.integers(0, 3) | numbers
numbered = st.builds(
    lambda given: {"data": [{"index": index, "embedding": [0.5]} for index in given]}, st.lists(indexes, max_size=4)
)
VECTORS = {"data": [{"index": 1, "embedding": [0.5, 1.0]}, {"index": 0, "embedding": "AACAPw=="}], "usage": USAGE}


@holds(
    500,
    reply=altered(st.just(VECTORS)) | numbered | objects_of(st.sampled_from(["data", "index", "embedding"])),
    count=st.integers(0, 4),
)
def test_any_reply_holds_a_vector_for_each_text_or_none(reply: dict[str, Any], count: int) -> None:
    before = json.dumps(reply)
    try:
        vectors = read_vectors(reply, count)
    except ValueError as exc:
        assert str(exc)
    else:
        assert len(vectors) == count
        rows = reply["data"] if isinstance(reply.get("data"), list) else []
        used = [row for row in rows if isinstance(row, dict) and row.get("embedding")]
        told = [row.get("index") for row in used if isinstance(row["embedding"], list)]
        assert all(index is None or index in range(count) for index in told if isinstance(index, int | float))
        assert all(isinstance(vector, list) and vector for vector in vectors)
    assert json.dumps(reply) == before


@holds(depth=st.integers(1, 3000), name=st.sampled_from(["error", "choices", "usage", "x"]))
def test_any_depth_of_an_answer_is_an_answer_or_one_error(depth: int, name: str) -> None:
    level = '{"error":[' if name == "error" else "[["
    body = f'{{"choices":[{{"message":{{"content":"Hi"}}}}],"{name}":' + level * depth
    body += ("]}" if name == "error" else "]]") * depth + "}"
    with contextlib.suppress(KiloCodeError):
        assert read_choices(read_payload(body.encode(), opened()), opened(), "a/asked")[0].text == "Hi"
