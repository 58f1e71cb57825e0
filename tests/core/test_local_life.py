"""The local gateway's record, its scripts, its connections, its beginning and end."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.local import LocalGateway, Reply
from tests.core.helpers import eventually
from tests.core.local_client import CHAT, MODEL, chat, raw, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import RecordedRequest


def test_requests_are_recorded_and_keys_masked(gateway: LocalGateway) -> None:
    chat(gateway, "Hi", authorization="Bearer my-secret-key")
    seen = gateway.last_request
    assert (seen.method, seen.path, seen.json["model"], seen.authorization) == (
        "POST",
        CHAT,
        MODEL,
        "Bearer my-secret-key",
    )
    assert seen.headers["content-length"] == str(len(seen.body))
    assert ("authorization", "Bearer my-secret-key") in seen.header_pairs
    assert "my-secret-key" not in repr(seen)
    assert "my-secret-key" not in repr(gateway)
    request(gateway, "GET", "/api/gateway/models?q=1")
    assert (gateway.last_request.path, gateway.last_request.query) == ("/api/gateway/models", "q=1")
    assert len(gateway.chat_requests) == 1
    gateway.clear()
    assert gateway.requests == []


def test_scripts_come_in_order_per_path_and_then_the_ordinary_answer(gateway: LocalGateway) -> None:
    gateway.script(Reply.text("one"), Reply.raw(418, {"error": "teapot"}, {"X-Tea": "green"}))
    gateway.script(Reply.raw(200, {"data": []}), path="models")
    gateway.script(Reply.raw(500, b""), path="/api/profile")
    assert gateway.scripted == 4
    assert request(gateway, "GET", "/api/gateway/models").json == {"data": []}
    assert request(gateway, "GET", "/api/gateway/models").json["data"]
    got = request(gateway, "GET", "/api/profile")
    assert (got.status, got.body, got.headers.get("content-type")) == (500, b"", None)
    assert chat(gateway).json["choices"][0]["message"]["content"] == "one"
    got = chat(gateway)
    assert (got.status, got.json, got.headers["x-tea"], got.headers["content-type"]) == (
        418,
        {"error": "teapot"},
        "green",
        "application/json",
    )
    assert chat(gateway, "Say hello.").json["choices"][0]["message"]["content"] == "Hello."
    gateway.script(Reply.text("kept"), path="chat/completions")
    request(gateway, "POST", "/api/gateway/embeddings", {"model": "openai/text-embedding-3-small", "input": "x"})
    assert chat(gateway).json["choices"][0]["message"]["content"] == "kept"


def test_a_function_answers_by_what_the_request_says(make_gateway: Callable[..., LocalGateway]) -> None:
    def echo(request: RecordedRequest) -> Reply | None:
        said = request.json["messages"][0]["content"]
        return None if said == "Say hello." else Reply.text(f"You said {said}.", headers={"x-answer": "1"})

    gateway = make_gateway(answer=echo)
    gateway.script(Reply.text("scripted"), Reply.ordinary(headers={"x-answer": "2"}))
    assert chat(gateway, "one").json["choices"][0]["message"]["content"] == "scripted"
    assert chat(gateway, "Say hello.").headers["x-answer"] == "2"
    got = chat(gateway, "three")
    assert (got.json["choices"][0]["message"]["content"], got.headers["x-answer"]) == ("You said three.", "1")
    assert chat(gateway, "four", stream=True).text == "You said four."
    assert chat(gateway, "Say hello.").json["choices"][0]["message"]["content"] == "Hello."
    with ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(lambda number: chat(gateway, str(number), stream=True).text, range(200)))
    assert texts == [f"You said {number}." for number in range(200)]


def test_a_function_that_fails_is_told(
    make_gateway: Callable[..., LocalGateway], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(request: RecordedRequest) -> Reply | None:
        raise LookupError(request.path)

    got = chat(make_gateway(answer=fail))
    assert (got.status, got.body) == (500, f"LocalGateway failed: LookupError('{CHAT}')".encode())
    assert "LookupError" in capsys.readouterr().err


def test_scripted_text_with_everything(gateway: LocalGateway) -> None:
    extras: dict[str, Any] = {
        "reasoning": "I think so.",
        "tool_calls": [{"name": "add", "arguments": '{"a": 1}', "id": "call_x"}, {"name": "now", "arguments": {}}],
        "annotations": [{"type": "url_citation"}],
        "images": [{"type": "image_url"}],
        "usage": {"prompt_tokens": 1},
        "model": "a/b",
        "provider": "P",
        "finish_reason": "length",
    }
    gateway.script(Reply.text("Well.", **extras), Reply.text("Well.", **extras))
    got = chat(gateway).json
    message = got["choices"][0]["message"]
    assert (message["content"], message["reasoning"], message["annotations"]) == (
        "Well.",
        "I think so.",
        [{"type": "url_citation"}],
    )
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]] == [
        ("add", '{"a": 1}'),
        ("now", "{}"),
    ]
    assert (message["tool_calls"][0]["id"], got["model"], got["provider"], got["usage"]) == (
        "call_x",
        "a/b",
        "P",
        {"prompt_tokens": 1},
    )
    streamed = chat(gateway, stream=True)
    calls = [call for event in streamed.events[:-1] for call in event["choices"][0]["delta"].get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 0) == '{"a": 1}'
    assert len([call for call in calls if call["index"] == 0]) >= 3
    assert next(call["id"] for call in calls if "id" in call) == "call_x"
    assert streamed.events[-3]["choices"][0]["finish_reason"] == "length"
    assert streamed.events[-2]["usage"] == {"prompt_tokens": 1}


def test_scripted_chunks_are_exact_in_a_stream_and_joined_without_one(gateway: LocalGateway) -> None:
    parts: list[Any] = [
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "reasoning": "think ",
                        "reasoning_details": [{"type": "reasoning.text", "text": "think "}],
                    },
                }
            ]
        },
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {
                        "reasoning": "hard",
                        "reasoning_details": [{"type": "reasoning.text", "text": "hard", "signature": "s"}],
                    },
                }
            ]
        },
        ": a comment\n\n",
        {"choices": [{"index": 0, "delta": {"content": "Do"}}]},
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]},
                }
            ]
        },
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}]},
        {"choices": [{"index": 0, "delta": {"content": "ne."}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"total_tokens": 3}},
    ]
    gateway.script(Reply.chunks(parts, comments=0), Reply.chunks(parts), Reply.chunks(parts, done=False, comments=2))
    got = chat(gateway, stream=True)
    assert got.events == [*(part for part in parts if isinstance(part, dict)), "[DONE]"]
    assert b"\n\n: a comment\n\n" in got.body
    joined = chat(gateway).json
    message = joined["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == ("Done.", "think hard")
    assert message["reasoning_details"] == [{"type": "reasoning.text", "text": "think hard", "signature": "s"}]
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert (joined["choices"][0]["finish_reason"], joined["usage"]) == ("stop", {"total_tokens": 3})
    got = chat(gateway, stream=True)
    assert got.body.count(b": KILO PROCESSING") == 2
    assert b"[DONE]" not in got.body


def test_a_connection_serves_many_requests(gateway: LocalGateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    for stream in (True, False, True):
        connection.request(
            "POST", CHAT, json.dumps({"model": MODEL, "messages": [], "stream": stream}), {"authorization": "Bearer k"}
        )
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    assert (gateway.connections, gateway.open_connections, len(gateway.requests)) == (1, 1, 3)
    connection.close()
    assert eventually(lambda: not gateway.open_connections)
    assert gateway.disconnects == []


def test_chunked_bodies_and_expectations_are_read(gateway: LocalGateway) -> None:
    body = json.dumps({"model": MODEL, "messages": []}).encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
    names = "authorization: Bearer k\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\nconnection: close"
    head = f"POST {CHAT} HTTP/1.1\r\n{names}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as sock:
        sock.sendall(head.encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(pieces)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    assert gateway.last_request.body == body


def test_nonsense_is_refused(gateway: LocalGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400")
    assert gateway.requests == []


def test_a_hundred_connections_at_once(make_gateway: Callable[..., LocalGateway]) -> None:
    all_here = threading.Barrier(100)

    def answer(_request: object) -> None:
        all_here.wait(60)

    gateway = make_gateway(answer=answer)
    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda _: chat(gateway).status, range(100)))
    assert found == [200] * 100
    assert gateway.connections == 100


def test_stopping_is_prompt_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with LocalGateway() as gateway:
        gateway.script(Reply.text("late", delay=60))
        port = gateway.port
        waiting = threading.Thread(target=lambda: raw(gateway))
        waiting.start()
        assert eventually(lambda: gateway.requests)
    waiting.join(30)
    assert threading.active_count() <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    assert gateway.disconnects == []


def test_it_starts_again_and_says_when_it_is_not_running() -> None:
    gateway = LocalGateway()
    with pytest.raises(RuntimeError, match=r"start\(\)"):
        _ = gateway.base_url
    gateway.stop()
    for _ in range(2):
        assert gateway.start() is gateway.start()
        assert chat(gateway).status == 200
        gateway.stop()
    assert "stopped" in repr(gateway)
    with pytest.raises(ValueError, match="february"):
        LocalGateway(dialect="march")  # type: ignore[arg-type]


def test_pace(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway(tokens_per_second=50, delay=0.1)
    started = time.monotonic()
    chat(gateway, "Say one two three four five six seven eight nine ten.", stream=True)
    assert time.monotonic() - started > 0.25


def test_a_failure_of_its_own_is_told(gateway: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.script(Reply.text("x", tool_calls=[{"arguments": {}}]))
    got = chat(gateway)
    assert (got.status, b"KeyError" in got.body) == (500, True)
    assert "LocalGateway failed" in capsys.readouterr().err
