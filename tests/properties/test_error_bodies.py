"""Refusals: whatever comes with any status is one of our errors, with a text for people and no key in it."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

from hypothesis import strategies as st

from kilocode_gateway.error_bodies import SAFE_HEADERS, error_from_answer, error_from_payload, retry_after
from kilocode_gateway.error_texts import Context
from kilocode_gateway.errors import KiloCodeError
from kilocode_gateway.hidden import Secret
from tests.properties.holding import holds
from tests.properties.values import altered, json_of, objects_of, texts

KEY = "canary-7f3a-key"
URL = "https://gateway.example/api/gateway/chat/completions"
FORMS: list[dict[str, Any]] = [
    {"error": {"code": "PAID_MODEL_AUTH_REQUIRED", "message": f"Sign in, not with {KEY}"}},
    {"error": "Invalid request", "message": "Invalid request", "error_type": "invalid_request"},
    {"error": {"title": "No credit", "message": "Add", "balance": -1.5, "buyCreditsUrl": "https://example.com"}},
    {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "{}", "provider_name": "P"}}},
    {"error": {"code": 400, "metadata": {"raw": json.dumps({"error": {"message": f"deep {KEY}"}})}}, "user_id": "u"},
    {"success": False, "error": "text"},
    {"type": "error", "message": "maximum context length", "detail": [{"msg": "x"}]},
]
NAMES = ["error", "message", "code", "metadata", "raw", "error_type", "title", "type", "detail", "balance", "param"]

payloads = altered(st.sampled_from(FORMS), most=4) | objects_of(st.sampled_from(NAMES), leaves=10)
values = (
    st.sampled_from(["5", "0.5", "-1", "nan", "inf", "1e400", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400, "1_0", "٣"])
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
    | st.lists(
        st.sampled_from(["Wed,", "21", "Oct", "2026", "0001", "9999", "07:28:00", "GMT", "-2400", "+9999", "7:99"])
    ).map(" ".join)
)
headers = st.dictionaries(st.sampled_from([*SAFE_HEADERS, "location", "x-secret"]), values | texts)
contexts = st.builds(
    lambda model, about, known: Context(
        url=URL,
        model=model,
        requested="kilo/auto",
        about=about,
        authenticated=known,
        secrets=(Secret(KEY),),
        suggest=lambda name: [name] if known else [],
    ),
    st.sampled_from([None, "a/b"]),
    st.sampled_from(["chat", "embeddings", "fim"]),
    st.booleans(),
)


def _check(error: KiloCodeError, given: dict[str, str]) -> None:
    assert isinstance(error, KiloCodeError)
    text = str(error)
    assert len(text) > 20
    assert "\n" not in text.removesuffix("\n") or "\n" in json.dumps(text)
    assert isinstance(error.retryable, bool)
    seconds = error.retry_after
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
    assert error.status is None or type(error.status) is int
    assert error.code is None or isinstance(error.code, str)
    assert error.provider is None or isinstance(error.provider, str)
    assert error.headers.keys() <= given.keys() & set(SAFE_HEADERS)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), repr(again.facts())) == (type(error), text, repr(error.facts()))
    assert KEY not in text + repr(error) + repr(error.facts())


statuses = st.sampled_from([300, 307, 400, 401, 402, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502, 503, 529])
contents = (
    payloads.map(lambda payload: json.dumps(payload).encode())
    | json_of().map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | texts.map(lambda text: f"<html><script>x</script><h1>{text}".encode("utf-8", "replace"))
)


@holds(500, status=statuses | st.integers(100, 999), given=headers, body=contents, context=contexts)
def test_any_answer_that_is_no_success_is_an_error(status: int, given: Any, body: bytes, context: Context) -> None:
    error = error_from_answer(status, given, body, context)
    _check(error, given)
    assert error.status == status
    assert error.url == URL


@holds(500, payload=payloads, given=headers, context=contexts)
def test_any_error_inside_a_success_is_an_error(payload: dict[str, Any], given: Any, context: Context) -> None:
    before = json.dumps(payload)
    _check(error_from_payload(payload, given, context), given)
    assert json.dumps(payload) == before


@holds(given=headers, now=st.floats(0, 4e9) | st.none())
def test_any_wait_is_a_number_of_seconds_or_none(given: dict[str, str], now: float | None) -> None:
    seconds = retry_after(given, now)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@holds(depth=st.integers(1, 3000), status=statuses, inside=st.sampled_from(["error", "message", "x"]), context=contexts)
def test_a_body_of_any_depth_is_an_error(depth: int, status: int, inside: str, context: Context) -> None:
    body = f'{{"{inside}":' + '[{"error":' * depth + f'"{KEY}"' + "}]" * depth + "}"
    error = error_from_answer(status, {}, body.encode(), context)
    assert str(error)
    assert KEY not in str(error)
