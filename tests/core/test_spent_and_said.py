"""What a call leaves behind when it goes wrong or is left: what it used, how often it was tried, and what is said."""

from __future__ import annotations

import time
import traceback
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import errors
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.local import Reply
from kilocode_gateway.models import Pricing
from kilocode_gateway.transport import Transport
from kilocode_gateway.usage import track_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

MODEL = "openai/gpt-5.4"
KEY = "test-key-that-must-not-show"


def body(model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}


def transport(gateway: LocalGateway, **settings: Any) -> Transport:
    settings.setdefault("max_retries", 0)
    return Transport(GatewayConfig.resolve(api_key=gateway.api_key, base_url=gateway.base_url), **settings)


def test_a_stream_that_is_left_counts_as_a_call_of_unknown_cost(gateway: LocalGateway) -> None:
    with track_usage() as used:
        for _ in range(3):
            with transport(gateway).stream(body()) as pieces:
                next(pieces)
    assert (used.total.calls, used.total.calls_without_cost) == (3, 3)
    assert list(used.by_model) == [MODEL]


async def test_an_async_stream_that_is_left_counts_as_a_call_of_unknown_cost(gateway: LocalGateway) -> None:
    with track_usage() as used:
        async with await transport(gateway).astream(body()) as pieces:
            await anext(pieces)
    assert (used.total.calls, used.total.calls_without_cost) == (1, 1)


def test_a_stream_that_is_cut_counts_once_and_one_that_fails_before_it_begins_does_not(gateway: LocalGateway) -> None:
    with track_usage() as used:
        for reply in (Reply.text("one two three", cut_after=900), Reply.error("stream_error_first")):
            gateway.script(reply)
            with pytest.raises(errors.KiloCodeError):
                list(transport(gateway).stream(body()))
    assert used.total.calls == 1


def test_a_whole_stream_counts_once(gateway: LocalGateway) -> None:
    with track_usage() as used:
        list(transport(gateway).stream(body()))
    assert (used.total.calls, used.total.calls_without_cost) == (1, 0)


def test_an_error_says_how_often_it_was_tried(gateway: LocalGateway) -> None:
    gateway.script(*[Reply.error("rate_limit_with_retry_after")] * 3)
    with pytest.raises(errors.RateLimitError, match="3 attempts were made") as caught:
        transport(gateway, max_retries=2).complete(body())
    assert caught.value.details["attempts"] == 3
    gateway.script(Reply.error("upstream_502"))
    with pytest.raises(errors.UpstreamError, match="It may pass: try again later") as once:
        transport(gateway).complete(body())
    assert "attempts" not in str(once.value)


def test_a_refused_key_is_told_by_where_it_came_from(gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.script(Reply.error("invalid_token"), Reply.error("invalid_token"))
    with pytest.raises(errors.AuthenticationError, match="was given as api_key"):
        transport(gateway).complete(body())
    monkeypatch.setenv("KILOCODE_API_KEY", KEY)
    with pytest.raises(errors.AuthenticationError, match="came from the environment"):
        Transport(GatewayConfig.resolve(base_url=gateway.base_url)).complete(body())


def test_an_error_names_the_model_as_the_user_did_and_as_it_was_sent(gateway: LocalGateway) -> None:
    gateway.script(Reply.error("model_not_found"), Reply.error("upstream_502"))
    with pytest.raises(errors.UpstreamError, match=r"'kilo/auto' \(sent as 'kilo-auto/balanced'\)"):
        transport(gateway).complete(body("kilo/auto"))


def test_a_missing_embedding_model_is_not_mistaken_for_a_chat_model(gateway: LocalGateway) -> None:
    gateway.script(Reply.error("model_not_found"), path="embeddings")
    with pytest.raises(errors.ModelNotFoundError, match="openai/text-embedding-3-small") as caught:
        transport(gateway).request("POST", "embeddings", {"model": "openai/gpt-5", "input": ["a"]})
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} x", f"{KEY}é", (KEY,), [KEY]])
def test_a_refused_key_stands_in_no_local_variable_of_ours(key: object) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        GatewayConfig.resolve(api_key=key)
    ours = [
        "".join(frame.locals.values())
        for frame in traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
        if frame.locals and "test_spent_and_said" not in frame.filename
    ]
    assert ours
    assert KEY not in "".join(ours)
    assert KEY not in str(caught.value)


def test_a_name_that_was_learned_wrongly_is_learned_anew(make_gateway: Callable[..., LocalGateway]) -> None:
    newest = make_gateway()
    asked = transport(newest)
    asked.complete(body("kilo/auto"))
    assert [request.json["model"] for request in newest.chat_requests] == ["kilo/auto", "kilo-auto/balanced"]
    newest.clear()
    newest.script(Reply.error("model_not_found"), Reply.text("From the old name."))
    assert asked.complete(body("kilo/auto")).text == "From the old name."
    assert [request.json["model"] for request in newest.chat_requests] == ["kilo-auto/balanced", "kilo/auto"]
    newest.clear()
    asked.complete(body("kilo/auto"))
    assert newest.chat_requests[0].json["model"] == "kilo/auto"


def test_a_server_that_keeps_the_line_open_after_done_keeps_nobody_waiting(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kilocode_gateway.streams._LAST_BYTES_SECONDS", 0.1)
    begun = time.monotonic()
    stall = Reply.raw(
        200,
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n: rest',
        {"content-type": "text/event-stream"},
        stall_after=98,
        stall=60.0,
    )
    gateway.script(stall)
    assert [piece.text for piece in transport(gateway).stream(body())] == ["Hi", ""]
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(("settings", "more"), [({"http_client": 1}, {}), ({}, {"extra_body": 3})])
def test_what_cannot_be_used_is_told_by_name(
    gateway: LocalGateway, settings: dict[str, Any], more: dict[str, Any]
) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"got .*int"):
        transport(gateway, **settings).complete(body(**more))
    assert gateway.requests == []


def test_prices_print_as_people_write_them() -> None:
    price = Pricing.read({"prompt": "0", "completion": "0.00001", "input_cache_read": "0.00000075"})
    assert [str(price.input), str(price.output), str(price.cache_read)] == ["0", "10", "0.75"]
    assert price.output == Decimal(10)


def test_the_fixture_meets_one_request_for_a_call(kilo_gateway: LocalGateway) -> None:
    Transport(GatewayConfig.resolve()).complete(body("kilo/auto"))
    assert [request.json["model"] for request in kilo_gateway.requests] == ["kilo-auto/balanced"]
    assert Catalog.at_hand(GatewayConfig.resolve()).source == "gateway"


def vectors_reply(*rows: object) -> Reply:
    return Reply.raw(200, {"object": "list", "data": list(rows), "model": "m"})


async def test_vectors_keep_the_order_of_the_texts_in_whatever_form_they_come(gateway: LocalGateway) -> None:
    base64_of_one_and_two = "AACAPwAAAEA="
    rows = ({"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": base64_of_one_and_two})
    gateway.script(vectors_reply(*rows), vectors_reply(*rows), path="embeddings")
    assert transport(gateway).embed(["a", "b"], model="m") == [[1.0, 2.0], [3.0, 4.0]]
    assert await transport(gateway).aembed(["a", "b"], model="m", settings={"dimensions": 2}) == [
        [1.0, 2.0],
        [3.0, 4.0],
    ]
    assert [request.json for request in gateway.requests] == [
        {"model": "m", "input": ["a", "b"], "encoding_format": "float"},
        {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2},
    ]


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ({"index": 0, "embedding": []},),
        ({"index": 5, "embedding": [1.0]},),
        ({"index": [], "embedding": [1.0]},),
        ({"index": {}, "embedding": [1.0]},),
        ("x",),
        ({"embedding": "%%"},),
    ],
)
def test_an_answer_without_a_vector_for_each_text_is_no_answer(gateway: LocalGateway, rows: tuple[object, ...]) -> None:
    gateway.script(vectors_reply(*rows), path="embeddings")
    with pytest.raises(errors.MalformedReplyError, match="vectors that can be used for 1 texts"):
        transport(gateway).embed(["a"], model="m")
