"""The local gateway's wire: endpoints, dialects, order of checks, records, connections, life."""

from __future__ import annotations

import base64
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.local_client import CHAT, MODEL, chat, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway


@pytest.fixture
def february(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    return make_gateway(dialect="february", api_keys=["key-one"])


@pytest.fixture
def strict(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    return make_gateway(api_keys=["key-one", "key-two"])


def test_a_completion_has_the_gateways_shape(gateway: LocalGateway) -> None:
    got = chat(gateway, "Say hello.")
    assert (got.status, got.headers["content-type"], got.headers["content-encoding"]) == (
        200,
        "application/json",
        "identity",
    )
    body = got.json
    assert body["id"].startswith("gen-")
    assert (body["object"], body["model"], body["provider"]) == ("chat.completion", MODEL, "LocalProvider")
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hello.",
        "refusal": None,
        "reasoning": None,
    }
    assert body["choices"][0]["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["is_byok"] is False
    assert usage["cost"] == pytest.approx(usage["prompt_tokens"] * 3e-6 + usage["completion_tokens"] * 15e-6)


def test_a_stream_has_comments_roles_finish_usage_and_done(gateway: LocalGateway) -> None:
    got = chat(gateway, "Say hello to all of you.", stream=True)
    assert got.headers["content-type"] == "text/event-stream"
    assert got.headers["transfer-encoding"] == "chunked"
    assert got.body.startswith(b": KILO PROCESSING\n\n")
    *chunks, finish, usage, done = got.events
    assert done == "[DONE]"
    assert len(chunks) >= 4
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in chunks)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"][0]["finish_reason"] is None
    assert usage["usage"] == chat(gateway, "Say hello to all of you.").json["usage"]
    assert [event for event in got.events[:-1] if "usage" in event] == [usage]
    assert got.text == "Hello to all of you."


def test_reasoning_comes_twice_and_signed_where_asked_for(gateway: LocalGateway) -> None:
    message = chat(gateway, "Hi", reasoning={"effort": "low"}).json["choices"][0]["message"]
    (detail,) = message["reasoning_details"]
    assert detail["text"] == message["reasoning"]
    assert detail["type"] == "reasoning.text"
    assert detail["signature"]
    got = chat(gateway, "Hi", reasoning={"effort": "low"}, stream=True)
    deltas = [event["choices"][0]["delta"] for event in got.events[:-1]]
    assert "".join(delta.get("reasoning") or "" for delta in deltas) == message["reasoning"]
    fragments = [part for delta in deltas for part in delta.get("reasoning_details", ())]
    assert "".join(part.get("text", "") for part in fragments) == message["reasoning"]
    assert fragments[-1]["signature"] == detail["signature"]
    for fields in (
        {},
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"enabled": False}},
        {"reasoning": {"effort": "low", "exclude": True}},
    ):
        assert chat(gateway, "Hi", **fields).json["choices"][0]["message"]["reasoning"] is None
    assert (
        chat(gateway, "Hi", model="openai/gpt-4o-mini", reasoning={"effort": "low"}).json["choices"][0]["message"][
            "reasoning"
        ]
        is None
    )


def test_automatic_models_name_the_one_that_served(gateway: LocalGateway, february: LocalGateway) -> None:
    assert chat(gateway, model="kilo-auto/frontier").json["model"] == MODEL
    body = {"model": "kilo-auto/frontier", "messages": [{"role": "user", "content": "Hi"}]}
    assert request(gateway, "POST", CHAT, body, x_kilocode_mode=" Plan ").json["model"] == "anthropic/claude-opus-4.7"
    assert chat(gateway, model="kilo-auto/balanced").json["usage"]["cost"] > 0
    assert chat(february, model="kilo/auto").json["model"] == MODEL


def test_kilo_auto_is_known_to_one_dialect_and_its_successor_to_the_other(
    gateway: LocalGateway, february: LocalGateway
) -> None:
    got = chat(gateway, model="kilo/auto")
    assert (got.status, got.json["error_type"]) == (404, "model_not_found")
    assert "kilo/auto" in got.json["error"]
    got = chat(february, model="kilo-auto/balanced")
    assert got.status == 400
    assert got.json == {
        "error": {"message": "kilo-auto/balanced is not a valid model ID", "code": 400},
        "user_id": "org_local",
    }
    assert request(february, "GET", "/api/gateway/models").json["data"][0]["id"] == "kilo/auto"
    assert chat(february, stream=True, model="kilo/auto").body.startswith(b": OPENROUTER PROCESSING")


def test_the_model_list(gateway: LocalGateway) -> None:
    got = request(gateway, "GET", "/api/gateway/models", authorization="")
    assert list(got.json) == ["data"]
    entries = got.json["data"]
    assert len({entry["id"] for entry in entries}) == len(entries) >= 12
    assert not [entry for entry in entries if "object" in entry or "owned_by" in entry]
    assert all(isinstance(entry["pricing"]["prompt"], str) for entry in entries)
    assert any(entry["isFree"] for entry in entries)
    assert any(entry["supported_parameters"] == [] for entry in entries)
    assert any(entry["context_length"] == 8192 for entry in entries)
    assert request(gateway, "GET", "/api/openrouter/models", authorization="").body == got.body
    assert "hasUserByokAvailable" in request(gateway, "GET", "/api/gateway/models").json["data"][0]


def test_models_of_ones_own(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway(
        models=[{"id": "my/model", "pricing": {"prompt": "0.5", "completion": "0.5"}}, {"name": "no id"}]
    )
    assert request(gateway, "GET", "/api/gateway/models").json["data"][1] == {"name": "no id"}
    got = chat(gateway, model="my/model").json
    assert got["usage"]["cost"] == pytest.approx(0.5 * got["usage"]["total_tokens"])
    assert chat(gateway, model=MODEL).status == 404


def test_endpoints_of_a_model(gateway: LocalGateway) -> None:
    got = request(gateway, "GET", f"/api/gateway/models/{MODEL}/endpoints").json["data"]
    assert got["id"] == MODEL
    assert got["endpoints"][0]["pricing"]["prompt"] == "0.000003"
    got = request(gateway, "GET", "/api/gateway/models/no/such/endpoints")
    assert (got.status, got.json) == (404, {"error": {"message": "Not Found", "code": 404}})


def test_embeddings(gateway: LocalGateway) -> None:
    body = {
        "model": "openai/text-embedding-3-small",
        "input": ["The cat sat on the mat.", "A cat sits on mats.", "Stock prices fell."],
    }
    got = request(gateway, "POST", "/api/gateway/embeddings", body).json
    assert [entry["index"] for entry in got["data"]] == [0, 1, 2]
    one, two, three = (entry["embedding"] for entry in got["data"])
    assert len(one) == 1536
    assert math.hypot(*one) == pytest.approx(1)
    assert sum(map(float.__mul__, one, two)) > 0.6 > sum(map(float.__mul__, one, three)) + 0.4
    assert got["usage"]["cost"] > 0
    coded = request(gateway, "POST", "/api/gateway/embeddings", {**body, "encoding_format": "base64"}).json["data"][0][
        "embedding"
    ]
    assert struct.unpack("<1536f", base64.b64decode(coded)) == pytest.approx(one, abs=1e-6)
    short = request(gateway, "POST", "/api/gateway/embeddings", {**body, "input": "x", "dimensions": 8}).json
    assert len(short["data"][0]["embedding"]) == 8


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"dimensions": 2000}, 400, "dimensions"),
        ({"dimensions": 0}, 400, "dimensions"),
        ({"model": "baai/bge-m3", "dimensions": 512}, 400, "dimensions"),
        ({"input": None}, 400, "Invalid request"),
        ({"input": {"a": 1}}, 400, "input"),
        ({"model": " "}, 404, "Model not found"),
        ({"model": "no/such"}, 404, "model_not_found"),
    ],
)
def test_embedding_errors(gateway: LocalGateway, fields: dict[str, Any], status: int, word: str) -> None:
    got = request(
        gateway, "POST", "/api/gateway/embeddings", {"model": "openai/text-embedding-3-small", "input": "x", **fields}
    )
    assert got.status == status
    assert word in got.body.decode()


def test_embedding_vectors_are_the_same_in_every_process(gateway: LocalGateway) -> None:
    body = {"model": "openai/text-embedding-3-small", "input": "gateway", "dimensions": 16}
    vector = request(gateway, "POST", "/api/gateway/embeddings", body).json["data"][0]["embedding"]
    assert [index for index, value in enumerate(vector) if value] == [15]


def test_the_embedding_catalog(gateway: LocalGateway, february: LocalGateway) -> None:
    got = request(gateway, "GET", "/api/gateway/embedding-models", authorization="").json
    assert got["defaultModel"] == "openai/text-embedding-3-small"
    assert {"id", "name", "dimension", "scoreThreshold"} <= set(got["models"][0])
    got = request(february, "POST", "/api/gateway/embeddings", {"model": "x", "input": "x"})
    assert (got.status, got.json["error"]) == (400, "Invalid path")


def test_the_account(strict: LocalGateway, february: LocalGateway) -> None:
    assert request(strict, "GET", "/api/profile").json["user"]["email"] == "user@example.com"
    assert request(strict, "GET", "/api/profile/balance").json == {"balance": 25.0, "isDepleted": False}
    assert request(strict, "GET", "/api/organizations/some-id/models").json["data"]
    assert request(strict, "GET", "/api/defaults", authorization="").json["defaultModel"].endswith(":free")
    for gateway in (strict, february):
        for path in ("/api/profile", "/api/profile/balance"):
            got = request(gateway, "GET", path, authorization="Bearer wrong-key")
            assert (got.status, got.json["success"]) == (401, False)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("POST", "/api/gateway/completions", 400, b"Invalid path"),
        ("POST", "/api/gateway/chat/completions/", 400, b"Invalid path"),
        ("POST", "/api/gateway/models", 405, b"Method Not Allowed"),
        ("GET", "/api/gateway/chat/completions", 405, b""),
        ("PUT", "/api/gateway/chat/completions", 405, b""),
        ("GET", "/api/gateway/nothing", 405, b""),
        ("OPTIONS", "/api/gateway/chat/completions", 204, b""),
        ("GET", "/nothing", 404, b"<html>"),
    ],
)
def test_paths(gateway: LocalGateway, method: str, path: str, status: int, body: bytes) -> None:
    got = request(gateway, method, path, {} if method in ("POST", "PUT") else None)
    assert got.status == status
    assert body in got.body
    assert bool(got.body) == bool(body)


def test_v1_is_taken_by_the_newest_only(gateway: LocalGateway, february: LocalGateway) -> None:
    assert chat(gateway, path="/api/gateway/v1/chat/completions").status == 200
    assert chat(gateway, path="/api/openrouter/chat/completions").status == 200
    assert chat(february, path="/api/gateway/v1/chat/completions").status == 400
    assert request(february, "GET", "/api/gateway/v1/models").status == 405


ORDER = [
    (b"{", 400, "Malformed JSON"),
    ({"providerOptions": {}}, 400, "unsupported_field"),
    ({"messages": 1}, 404, "Model not found"),
    ({"model": MODEL, "messages": 1}, 400, "Invalid request"),
    ({"model": MODEL, "messages": [], "max_tokens": 10**12}, 401, "PAID_MODEL_AUTH_REQUIRED"),
]


@pytest.mark.parametrize(("body", "status", "word"), ORDER, ids=[word for _, _, word in ORDER])
def test_checks_before_the_key(gateway: LocalGateway, body: Any, status: int, word: str) -> None:
    got = request(gateway, "POST", CHAT, body, authorization="")
    assert got.status == status
    assert word in got.body.decode()


def test_checks_after_the_key(make_gateway: Callable[..., LocalGateway]) -> None:
    broke = make_gateway(balance=-0.5)
    assert chat(broke, model="no/such", max_tokens=10**12).status == 503
    assert chat(broke, model="x-ai/grok-code-fast-1:optimized:free").json["error"].startswith("The alpha period")
    got = chat(broke, model="no/such")
    assert (got.status, got.json["error"]["balance"]) == (402, -0.5)
    assert chat(broke, model="kilo-auto/free").status == 200
    got = chat(broke, model="kilo-auto/free", provider={"data_collection": "deny"})
    assert (got.status, got.json["error_type"]) == (400, "data_collection_required")
    rich = make_gateway()
    assert chat(rich, provider={"data_collection": "deny", "zdr": True}).status == 200
    assert chat(rich, model="kilo-auto/free", provider={"zdr": True}).status == 400


def test_keys(strict: LocalGateway, february: LocalGateway) -> None:
    assert chat(strict).status == chat(strict, authorization="bearer key-two").status == 200
    for nobody in ("", "Bearer anonymous", "Basic abc"):
        assert chat(strict, authorization=nobody).status == 401
        assert chat(strict, authorization=nobody, model="kilo-auto/free").status == 200
    got = chat(strict, authorization="Bearer wrong-key", model="kilo-auto/free")
    assert (got.status, got.json["error"]["code"], got.json["error_type"]) == (
        401,
        "INVALID_TOKEN",
        "authentication_required",
    )
    assert got.headers["www-authenticate"].startswith("Bearer error=")
    free = "stepfun/step-3.7-flash:free"
    assert chat(february, authorization="Bearer wrong-key", model=free).status == 200
    got = chat(february, authorization="Bearer wrong-key")
    assert (got.status, got.json["error"]["code"]) == (401, "PAID_MODEL_AUTH_REQUIRED")
    assert "error_type" not in got.json


def test_a_context_window_is_kept(gateway: LocalGateway) -> None:
    got = chat(gateway, "word " * 9000, model="local/small-context")
    assert (got.status, got.json["error_type"]) == (400, "context_length_exceeded")


def test_a_repeated_beginning_is_cached(gateway: LocalGateway) -> None:
    messages = [{"role": "system", "content": "rule " * 2000}, {"role": "user", "content": "Hi"}]
    first, second = (chat(gateway, messages).json["usage"] for _ in range(2))
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert 2000 < second["prompt_tokens_details"]["cached_tokens"] <= second["prompt_tokens"]
    assert second["cost"] < first["cost"]


def test_several_choices(gateway: LocalGateway) -> None:
    assert [choice["index"] for choice in chat(gateway, n=3).json["choices"]] == [0, 1, 2]
    got = chat(gateway, n=2, stream=True)
    assert {choice["index"] for event in got.events[:-2] for choice in event["choices"]} == {0, 1}
