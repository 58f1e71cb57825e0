"""What the local gateway does to a reply on demand, byte by byte, and every error by its name."""

from __future__ import annotations

import gzip
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.local import Reply
from tests.core.helpers import eventually, time_limits
from tests.core.local_client import CHAT, Got, body_of, chat, raw

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

STREAM = b'{"model": "a/b", "messages": [], "stream": true}'
EVENTS = b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n'


def stream_of(**faults: Any) -> Reply:
    return Reply.raw(200, EVENTS, **faults)


@pytest.mark.parametrize("body", [EVENTS, b'{"a": 1, "b": 2}'], ids=["stream", "json"])
@pytest.mark.parametrize("count", [0, 1, 7, 10_000])
@pytest.mark.parametrize(
    ("fault", "how"),
    [("cut_after", "closed"), ("reset_after", "reset"), ("end_after", "closed"), ("half_close_after", "closed")],
)
def test_a_reply_ends_early(gateway: LocalGateway, body: bytes, count: int, fault: str, how: str) -> None:
    gateway.script(Reply.raw(200, body, **{fault: count}))  # type: ignore[arg-type] # a fault by its name
    answer, end = raw(gateway, STREAM)
    assert end == how
    if how == "closed":
        assert body_of(answer) == body[:count]
    assert answer.endswith(b"\r\n0\r\n\r\n") == (fault == "end_after" and body == EVENTS)


def test_a_dropped_request_gets_not_a_byte(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("x", drop=True))
    assert raw(gateway) == (b"", "closed")


def test_a_stall_is_silence_and_then_the_rest(gateway: LocalGateway) -> None:
    gateway.script(
        stream_of(stall_after=20, stall=0.4),
        stream_of(stall_after=16, stall=0.3, keep_alive=0.1),
        *[stream_of(stall_after=20, stall=60)] * 9,
    )
    started = time.monotonic()
    answer, end = raw(gateway, STREAM)
    assert time.monotonic() - started > 0.35
    assert (body_of(answer), end) == (EVENTS, "closed")
    answer, _ = raw(gateway, STREAM)
    assert body_of(answer).count(b": KILO PROCESSING\n\n") == 2
    for seconds in time_limits():
        answer, end = raw(gateway, STREAM, timeout=seconds)
        assert end == "silence"
        if body_of(answer):
            break
    assert body_of(answer) == EVENTS[:20]


@pytest.mark.parametrize("size", [1, 3, "event"])
def test_split_writes(gateway: LocalGateway, size: Any) -> None:
    gateway.script(stream_of(split=size))
    answer, _ = raw(gateway, STREAM)
    assert body_of(answer) == EVENTS
    pieces = answer.count(b"\r\n") - answer.partition(b"\r\n\r\n")[0].count(b"\r\n") - 4
    assert pieces == 2 * ({1: len(EVENTS), 3: -(-len(EVENTS) // 3), "event": 3}[size])
    gateway.script(stream_of())
    assert raw(gateway, STREAM)[0].count(b"\r\n%x\r\n" % len(EVENTS)) == 1  # unless split, one large write


def test_split_of_less_than_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Reply.text("x", split=0)


def test_delays(gateway: LocalGateway) -> None:
    gateway.script(stream_of(delay=0.2), stream_of(chunk_delay=0.1))
    for _ in range(2):
        started = time.monotonic()
        assert body_of(raw(gateway, STREAM)[0]) == EVENTS
        assert time.monotonic() - started > 0.15


def test_shapes_of_the_transfer(gateway: LocalGateway) -> None:
    gateway.script(
        stream_of(transfer="close"),
        stream_of(transfer="length"),
        Reply.raw(200, {"a": 1}, transfer="chunked"),
        stream_of(content_length=500),
    )
    answer, _ = raw(gateway, STREAM)
    assert b"content-length" not in answer
    assert b"transfer-encoding" not in answer
    assert body_of(answer) == EVENTS
    assert f"content-length: {len(EVENTS)}".encode() in raw(gateway, STREAM)[0]
    assert body_of(raw(gateway)[0]) == b'{"a":1}'
    answer, end = raw(gateway, STREAM)
    assert b"content-length: 500" in answer
    assert (body_of(answer), end) == (EVENTS, "closed")


def test_headers_and_types(gateway: LocalGateway) -> None:
    gateway.script(
        Reply.text("x", content_type="text/plain", headers={"Retry-After": "7", "content-encoding": None}, close=True)
    )
    got = chat(gateway)
    assert (got.headers["content-type"], got.headers["retry-after"], got.headers["connection"]) == (
        "text/plain",
        "7",
        "close",
    )
    assert "content-encoding" not in got.headers


def test_garbage_prefix_and_line_ends(gateway: LocalGateway) -> None:
    gateway.script(
        stream_of(garbage=["event: ping\n\n", b"\xff\xfe\n"]),
        stream_of(garbage=": x\n\n"),
        stream_of(newline="\r\n"),
        stream_of(prefix=b"\xef\xbb\xbf"),
    )
    first, second, third, fourth = (body_of(raw(gateway, STREAM)[0]) for _ in range(4))
    assert first == b'data: {"a":1}\n\nevent: ping\n\ndata: {"b":2}\n\n\xff\xfe\ndata: [DONE]\n\n'
    assert second.count(b": x\n\n") == 3
    assert third == EVENTS.replace(b"\n", b"\r\n")
    assert fourth == b"\xef\xbb\xbf" + EVENTS
    gateway.script(Reply.raw(200, {"a": 1}, prefix="   \n\n"))
    assert chat(gateway).body == b'   \n\n{"a":1}'


def test_gzip_true_and_told(gateway: LocalGateway) -> None:
    gateway.script(Reply.raw(200, {"a": 1}, gzip=True), Reply.raw(200, {"a": 1}, gzip="lie"))
    got = chat(gateway)
    assert (got.headers["content-encoding"], gzip.decompress(got.body)) == ("gzip", b'{"a":1}')
    got = chat(gateway)
    assert (got.headers["content-encoding"], got.body) == ("gzip", b'{"a":1}')


def test_an_ordinary_reply_with_a_fault(gateway: LocalGateway) -> None:
    gateway.script(Reply.ordinary(split=1))
    assert chat(gateway, "Say hello there.", stream=True).text == "Hello there."


def test_a_client_that_leaves_is_noticed(gateway: LocalGateway) -> None:
    gateway.script(stream_of(chunk_delay=60))
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as sock:
        sock.sendall(f"POST {CHAT} HTTP/1.1\r\ncontent-length: {len(STREAM)}\r\n\r\n".encode() + STREAM)
        sock.recv(1000)
    assert eventually(lambda: gateway.disconnects)
    assert [request.path for request in gateway.disconnects] == [CHAT]
    assert chat(gateway).status == 200
    assert len(gateway.disconnects) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", Reply.ERRORS)
def test_every_error_by_name(gateway: LocalGateway, name: str, stream: bool) -> None:
    form = Reply.error_form(name)
    gateway.script(Reply.error(name))
    got = chat(gateway, stream=stream)
    assert got.status == Reply.ERRORS[name] == form.status
    kind = got.headers.get("content-type", "")
    if form.form == "empty":
        assert (got.body, kind) == (b"", "")
    elif form.form == "redirect":
        assert got.headers["location"].startswith("https://elsewhere.invalid/")
    elif form.form == "html":
        assert kind.startswith("text/html")
    elif form.stream is not None and stream:
        assert kind == "text/event-stream"
        assert (got.events[-1:] == ["[DONE]"]) == form.done
    elif form.form not in ("broken", "stream"):
        assert kind == "application/json"
        assert _has_form(got, form.form), got.json


def _has_form(got: Got, form: str) -> bool:
    error = got.json.get("error")
    return {
        "text": isinstance(error, str),
        "code": isinstance(error, dict) and isinstance(error.get("code", ""), str),
        "credit": isinstance(error, dict) and {"title", "balance", "buyCreditsUrl"} <= set(error),
        "upstream": isinstance(error, dict) and isinstance(error.get("code"), int),
        "account": isinstance(error, str) and got.json.get("success") is False,
        "dimensions": isinstance(error, dict) and error.get("param") == "dimensions",
    }[form]


def test_streams_break_as_their_names_say(gateway: LocalGateway) -> None:
    def seen(name: str) -> tuple[bool, bool, bool, bool]:
        gateway.script(Reply.error(name))
        events = chat(gateway, stream=True).events
        chunks = [event for event in events if isinstance(event, dict)]
        finishes = {choice.get("finish_reason") for chunk in chunks for choice in chunk.get("choices", ())}
        text = any(choice["delta"].get("content") for chunk in chunks for choice in chunk.get("choices", ()))
        return text, any("error" in chunk for chunk in chunks), "stop" in finishes, "[DONE]" in events

    assert seen("stream_error_first") == (False, True, False, True)
    assert seen("stream_error_mid") == (True, True, False, False)
    assert seen("stream_error_mid_with_choices") == (True, True, False, True)
    assert seen("stream_error_after") == (True, True, True, False)
    assert seen("stream_without_done") == (True, False, True, False)
    assert seen("stream_without_finish") == (True, False, False, False)
    assert seen("stream_done_without_finish") == (True, False, False, True)
    assert seen("stream_empty") == (False, False, False, False)


def test_errors_take_headers_and_faults(gateway: LocalGateway) -> None:
    gateway.script(
        Reply.error("rate_limit_with_retry_after", headers={"retry-after": "3", "retry-after-ms": None}),
        Reply.error("top_up_in_progress"),
    )
    got = chat(gateway)
    assert (got.status, got.headers["retry-after"], got.headers.get("retry-after-ms")) == (429, "3", None)
    assert chat(gateway).headers["retry-after"] == "5"
    with pytest.raises(ValueError, match="paid_model_auth_required"):
        Reply.error("no such error")


def test_an_upstream_error_hides_its_reason_in_raw() -> None:
    form = Reply.error_form("provider_returned_error_429")
    assert isinstance(form.body, dict)
    metadata = form.body["error"]["metadata"]
    assert json.loads(metadata["raw"])["detail"]
    assert metadata["provider_name"] == "LocalProvider"
