"""Requests: whatever a user sets arrives, or is changed as it is written down; nothing that was given is touched."""

from __future__ import annotations

import copy
import json
import warnings
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from kilocode_gateway.encoding import encoded
from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from kilocode_gateway.models import is_auto
from kilocode_gateway.options import CallOptions, without_options
from kilocode_gateway.policy import timeouts_of
from kilocode_gateway.wire import NAMES, OPTIONS, PARAMETERS, check_names, merge, nearest_name, shape
from kilocode_gateway.wire.embeddings import embeddings_body
from kilocode_gateway.wire.fim import MOST_TOKENS, fim_body
from tests.properties.holding import holds
from tests.properties.values import json_of, numbers, objects_of, scalars, texts

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

SHAPED = {"messages", "max_tokens", "max_completion_tokens", "stop", "tools", "reasoning", "reasoning_effort"}
OF_THE_CALL = {"model", "stream", "stream_options", "extra_body"}
DIRECT = sorted(PARAMETERS.keys() - SHAPED - OF_THE_CALL)

models = st.sampled_from(["a/b", "x-ai/grok", "google/gemini-3", "kilo/auto", "kilo-auto/free", "KILO-AUTO/x"])
signatures = st.sampled_from(["U0lH", "not base64!", "", None])
calls = st.builds(
    lambda name, arguments, signature: {
        "id": "c1",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        "extra_content": {"google": {"thought_signature": signature}},
    },
    texts,
    texts,
    signatures,
)
details = st.builds(
    lambda kind, data: {"type": kind, "data": data},
    st.sampled_from(["reasoning.encrypted", "reasoning.text"]),
    signatures,
)
contents = texts | st.none() | st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), max_size=2)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]), "content": contents},
    optional={
        "name": texts,
        "tool_call_id": texts,
        "tool_calls": st.lists(calls, max_size=2),
        "reasoning_details": st.lists(details, max_size=2),
        "reasoning_content": texts,
        "x": json_of(leaves=3),
    },
)
tools = st.builds(
    lambda name, strict, more: {"type": "function", "function": {"name": name, **strict, **more}},
    texts,
    st.sampled_from([{}, {"strict": True}, {"strict": False}, {"strict": None}]),
    st.dictionaries(st.sampled_from(["description", "parameters"]), json_of(leaves=3)),
)
SPECIAL: dict[str, SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 9) | st.none(),
    "max_completion_tokens": st.integers(1, 9) | st.none(),
    "stop": texts | st.lists(texts, max_size=2) | st.none(),
    "tools": st.lists(tools, max_size=2) | st.none(),
    "reasoning": st.none()
    | st.dictionaries(st.sampled_from(["effort", "max_tokens", "exclude"]), st.none() | scalars, max_size=2),
    "reasoning_effort": st.sampled_from([None, "none", "off", "low", "high"]),
    "stream": st.booleans(),
    "stream_options": st.none() | st.dictionaries(st.sampled_from(["include_usage", "x"]), scalars, max_size=2),
}


@st.composite
def bodies(draw: DrawFn) -> dict[str, Any]:
    """Give a request as a framework puts it."""
    body: dict[str, Any] = {"model": "given", "messages": draw(st.lists(messages, max_size=3))}
    for name in draw(st.lists(st.sampled_from(sorted(SPECIAL)), max_size=5, unique=True)):
        body[name] = draw(SPECIAL[name])
    for name in draw(st.lists(st.sampled_from(DIRECT), max_size=4, unique=True)):
        body[name] = draw(json_of(leaves=4))
    if draw(st.booleans()):
        names = st.sampled_from([*DIRECT, "reasoning", "x"]) | texts.filter(
            lambda name: name not in SHAPED | OF_THE_CALL
        )
        body["extra_body"] = draw(st.none() | objects_of(names, leaves=5))
    return body


def _same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@holds(200, body=bodies(), model=models, stream=st.booleans())
def test_a_request_shaped_twice_is_the_same(body: dict[str, Any], model: str, stream: bool) -> None:
    before = copy.deepcopy(body)
    once = shape(body, model=model, stream=stream, warn=False)
    assert _same(body, before)
    kept = copy.deepcopy(once)
    assert _same(shape(once, model=model, stream=stream, warn=False), once)
    assert _same(once, kept)
    assert once["model"] == model
    assert once.get("stream") is (True if stream else None)
    assert not stream or once["stream_options"]["include_usage"] is True


@holds(200, body=bodies(), model=models, stream=st.booleans())
def test_every_setting_arrives_or_is_told(body: dict[str, Any], model: str, stream: bool) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        shaped = shape(body, model=model, stream=stream)
    extra = {name: value for name, value in (body.get("extra_body") or {}).items() if value is not None}
    taken_out = {name for name, value in (body.get("extra_body") or {}).items() if value is None}
    for name in DIRECT:
        value = body.get(name)
        if name not in extra and name not in taken_out:
            assert _same(shaped.get(name), value)
            assert (name in shaped) == (value is not None)
    for name, value in extra.items():
        assert name in shaped
        both = isinstance(value, dict) and isinstance(body.get(name), dict)
        assert both or name == "reasoning" or _same(shaped[name], value)
    assert not taken_out & shaped.keys()
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    assert shaped.get("max_tokens") == most
    assert "max_completion_tokens" not in shaped
    stop = body.get("stop")
    assert shaped.get("stop") == ([stop] if isinstance(stop, str) else stop)
    _check_effort(body, shaped, model, [str(one.message) for one in told])
    _check_messages(body["messages"], shaped["messages"], model)
    _check_tools(body.get("tools"), shaped.get("tools"))


def _check_effort(body: dict[str, Any], shaped: dict[str, Any], model: str, told: list[str]) -> None:
    given, effort = body.get("reasoning") or {}, body.get("reasoning_effort")
    assert "reasoning_effort" not in shaped
    if "reasoning" in (body.get("extra_body") or {}):
        return
    explicit = given.get("effort") is not None or given.get("max_tokens") is not None
    refused = effort in ("none", "off") or is_auto(model) or model.startswith("x-ai/")
    sent = shaped.get("reasoning") or {}
    if effort is None or explicit:
        assert not told
        assert _same(sent, given)
    elif refused:
        assert len(told) == 1
        assert repr(effort) in told[0]
        assert _same(sent, given)
    else:
        assert not told
        assert _same(sent, {**given, "effort": effort})


def _check_messages(given: list[Any], sent: list[Any], model: str) -> None:
    assert len(sent) == len(given)
    for old, new in zip(given, sent, strict=True):
        assert new["role"] == ("system" if old["role"] == "developer" else old["role"])
        assert new.keys() == old.keys()
        for name, value in old.items():
            cleaned = "gemini" in model and name in ("tool_calls", "reasoning_details")
            assert cleaned or name == "role" or _same(new[name], value)
        functions = [[call["function"] for call in message.get("tool_calls", ())] for message in (old, new)]
        assert _same(*functions)
        plain = [
            [item for item in message.get("reasoning_details", ()) if item["type"] == "reasoning.text"]
            for message in (old, new)
        ]
        assert _same(*plain)


def _check_tools(given: list[Any] | None, sent: list[Any] | None) -> None:
    assert (given is None) == (sent is None)
    for old, new in zip(given or (), sent or (), strict=True):
        expected = {name: value for name, value in old["function"].items() if name != "strict" or value}
        assert _same(new, {**old, "function": expected})


@holds(body=json_of() | objects_of(texts).map(lambda fields: {**fields, 5: "number", None: 1}) | st.just({"x": {1, 2}}))
def test_a_request_is_written_as_json_or_refused(body: Any) -> None:
    try:
        written = encoded(body)
    except ConfigurationError as exc:
        assert "cannot be written as JSON" in str(exc)
    else:
        assert _same(json.loads(written), json.loads(json.dumps(body)))
        json.loads(written, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(name)))


@holds(layers=st.lists(objects_of(st.sampled_from("abc"), leaves=10), max_size=4))
def test_settings_of_several_places_are_put_together(layers: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(layers)
    merged = merge(*layers)
    assert _same(layers, before)
    for name in "abc":
        given = [layer[name] for layer in layers if layer.get(name) is not None]
        assert (name in merged) == bool(given)
        if given and not isinstance(given[-1], dict):
            assert _same(merged[name], given[-1])
    assert _same(merge(merged), merged)


@holds(
    names=st.lists(texts | st.sampled_from([*NAMES, "models", "temprature", "messages"]), max_size=4),
    known=st.lists(texts),
)
def test_any_names_are_settings_or_refused(names: list[str], known: list[str]) -> None:
    try:
        check_names(names, known, where="Here")
    except UnknownSettingError as exc:
        assert any(repr(name) in str(exc) for name in names)
    else:
        assert all(name in NAMES or name in known for name in names)
    for name in names:
        assert nearest_name(name, known) in (None, *known)


limits = st.dictionaries(st.sampled_from(["total_timeout", "first_token_timeout"]), numbers)


@holds(settings=limits | st.dictionaries(st.sampled_from([*OPTIONS, "temperature"]), json_of(leaves=3) | numbers))
def test_any_options_are_read_or_refused(settings: dict[str, Any]) -> None:
    try:
        options = CallOptions.read(settings)
    except ConfigurationError as exc:
        assert str(exc)
        return
    for stream in (True, False):
        left = options.deadline(stream=stream).left()
        assert left is None or left < 1e9
    assert all(isinstance(value, str) and value.isascii() for value in options.headers({}).values())
    assert without_options(settings).keys() == settings.keys() & {"temperature"}


@holds(timeout=json_of(leaves=3) | numbers | st.tuples(numbers, numbers) | st.tuples(st.none(), numbers))
def test_any_timeout_is_read_or_refused(timeout: Any) -> None:
    try:
        limits = timeouts_of(timeout)
    except ConfigurationError as exc:
        assert str(exc)
    else:
        assert all(seconds is None or 0 < seconds < 1e9 for seconds in limits.values())


gaps = st.fixed_dictionaries(
    {},
    optional={
        "suffix": texts | scalars,
        "max_tokens": st.integers(-3, 3000) | scalars,
        "min_tokens": st.integers(-3, 3000) | scalars,
        "temperature": numbers | scalars,
        "stop": st.lists(texts, max_size=2) | texts | scalars,
    },
)


@holds(prompt=texts | scalars, settings=gaps)
def test_any_gap_is_asked_for_within_its_limits_or_refused(prompt: Any, settings: dict[str, Any]) -> None:
    before = copy.deepcopy(settings)
    try:
        body = fim_body("a/b", prompt, settings)
    except ConfigurationError as exc:
        assert str(exc)
    else:
        assert body["prompt"] == prompt
        assert 1 <= body["max_tokens"] <= MOST_TOKENS
        assert isinstance(body.get("stop", []), list)
        assert all(_same(body[name], value) for name, value in settings.items() if value is not None and name != "stop")
    assert _same(settings, before)


@holds(inputs=st.lists(texts, max_size=3), settings=objects_of(st.sampled_from(["dimensions", "user", "x"])))
def test_every_setting_of_embeddings_arrives(inputs: list[str], settings: dict[str, Any]) -> None:
    body = embeddings_body("a/b", inputs, settings)
    assert body["input"] == inputs
    assert all(_same(body.get(name), value) for name, value in settings.items())
