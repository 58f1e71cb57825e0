"""What a proxy must not get: each rule held against the bytes that reached the gateway, in all four ways."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.local import Reply
from kilocode_gateway.transport import Transport
from tests.core.helpers import BODY, KEY, MODEL, transport_to

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway
    from tests.core.conftest import Ask


@pytest.fixture
def send(gateway: LocalGateway, ask: Ask) -> Any:
    """Send a request and give the JSON that reached the gateway."""

    async def sent(**fields: Any) -> dict[str, Any]:
        gateway.script(Reply.text("Fine."))
        answer = await ask(transport_to(gateway), {**BODY, **fields})
        assert answer.text == "Fine."
        assert len(gateway.requests) == 1
        return gateway.last_request.json

    return sent


async def test_nothing_is_sent_that_nobody_asked_for(send: Any, streamed: bool) -> None:
    stream = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    assert await send() == {**BODY, **stream}


async def test_usage_is_asked_for_in_streams_and_only_there(send: Any, streamed: bool) -> None:
    sent = await send(stream_options={"include_usage": False, "include_obfuscation": False})
    expected = {"include_usage": True, "include_obfuscation": False} if streamed else None
    assert sent.get("stream_options") == expected


async def test_the_way_of_asking_decides_about_streaming(send: Any, streamed: bool) -> None:
    assert (await send(stream=not streamed)).get("stream", False) is streamed


async def test_developer_becomes_system(send: Any) -> None:
    sent = await send(messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("service_tier", "flex"),
        ("store", False),
        ("prompt_cache_key", "k"),
        ("prompt_cache_retention", "24h"),
        ("parallel_tool_calls", False),
        ("logprobs", True),
        ("metadata", {"run": "1"}),
    ],
)
async def test_native_fields_go_out_only_when_asked_for(send: Any, name: str, value: object) -> None:
    assert (await send(**{name: value}))[name] == value


async def test_none_is_not_sent(send: Any) -> None:
    sent = await send(store=None, temperature=None, reasoning=None, tools=None, stop=None, max_tokens=None)
    assert set(sent) - {"stream", "stream_options"} == {"model", "messages"}


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
async def test_reasoning_effort_becomes_nested(send: Any, effort: str) -> None:
    sent = await send(reasoning_effort=effort)
    assert "reasoning_effort" not in sent
    assert sent["reasoning"] == {"effort": effort}


@pytest.mark.parametrize("reasoning", [{"effort": "low"}, {"max_tokens": 2000}])
async def test_reasoning_wins_over_reasoning_effort(send: Any, reasoning: dict[str, Any]) -> None:
    assert (await send(reasoning=reasoning, reasoning_effort="high"))["reasoning"] == reasoning


@pytest.mark.parametrize("unset", [{}, {"effort": None}, {"max_tokens": None}], ids=repr)
async def test_reasoning_without_an_amount_takes_the_effort(send: Any, unset: dict[str, Any]) -> None:
    sent = await send(reasoning={"exclude": True, **unset}, reasoning_effort="high")
    assert sent["reasoning"] == {"exclude": True, **unset, "effort": "high"}


@pytest.mark.parametrize("effort", ["none", "off"])
async def test_thinking_off_sends_nothing_and_says_why(send: Any, effort: str) -> None:
    with pytest.warns(UserWarning, match="always think refuse") as caught:
        sent = await send(reasoning_effort=effort)
    assert len(caught) == 1
    assert not {"reasoning", "reasoning_effort"} & set(sent)


@pytest.mark.parametrize("model", ["kilo/auto", "kilo-auto/balanced", "kilo-auto/frontier", "x-ai/grok-4"])
async def test_effort_is_left_out_where_the_server_decides(send: Any, model: str) -> None:
    with pytest.warns(UserWarning, match=f"is not sent to '{model}'") as caught:
        sent = await send(model=model, reasoning_effort="high")
    assert len(caught) == 1
    assert not {"reasoning", "reasoning_effort"} & set(sent)


@pytest.mark.parametrize("model", ["kilo/auto", "x-ai/grok-4", MODEL])
@pytest.mark.parametrize("reasoning", [{"effort": "high"}, {"enabled": False}, {"max_tokens": 1}])
async def test_plain_reasoning_goes_out_as_it_is(send: Any, model: str, reasoning: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (await send(model=model, reasoning=reasoning))["reasoning"] == reasoning


def _tool(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}, **more}}


async def test_a_tools_strict_goes_out_only_when_it_is_on(send: Any) -> None:
    sent = await send(tools=[_tool(strict=False), _tool(strict=None), _tool(), _tool(strict=True)])
    assert sent["tools"] == [_tool(), _tool(), _tool(), _tool(strict=True)]


async def test_tools_of_providers_pass(send: Any) -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2, "strict": False}
    assert (await send(tools=[tool]))["tools"] == [tool]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 7),
        ({}, None),
    ],
)
async def test_the_limit_is_called_max_tokens(send: Any, given: dict[str, int], expected: int | None) -> None:
    sent = await send(**given)
    assert sent.get("max_tokens") == expected
    assert "max_completion_tokens" not in sent


@pytest.mark.parametrize(("given", "expected"), [("END", ["END"]), (["A", "B"], ["A", "B"])])
async def test_stop_is_always_a_list(send: Any, given: object, expected: list[str]) -> None:
    assert (await send(stop=given))["stop"] == expected


async def test_cache_markers_are_kept_and_none_is_added(send: Any) -> None:
    marked = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    messages = [
        {"role": "system", "content": [marked]},
        {"role": "user", "content": [marked, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go on"},
    ]
    assert (await send(messages=messages))["messages"] == messages


_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"thoughtSignature": "not base64!"}'}}


async def test_gemini_gets_no_signature_that_is_no_base64(send: Any) -> None:
    good = {"type": "reasoning.encrypted", "data": "QUJD", "format": "google-gemini-v1", "index": 0}
    bad = {**good, "data": "not base64!"}
    calls = [
        {**_CALL, "extra_content": {"google": {"thought_signature": "not base64!", "other": 1}}},
        {**_CALL, "extra_content": {"google": {"thought_signature": "QUJD"}}, "thoughtSignature": "n o"},
    ]
    message = {"role": "assistant", "content": "", "reasoning_details": [good, bad], "tool_calls": calls}
    sent = await send(model="google/gemini-3.1-pro-preview", messages=[message])
    assert sent["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "reasoning_details": [good],
            "tool_calls": [
                {**_CALL, "extra_content": {"google": {"other": 1}}},
                {**_CALL, "extra_content": {"google": {"thought_signature": "QUJD"}}},
            ],
        }
    ]


async def test_other_models_get_their_signatures_back_untouched(send: Any) -> None:
    detail = {"type": "reasoning.encrypted", "data": "not base64!", "format": "openai-responses-v1"}
    message = {"role": "assistant", "content": "", "reasoning_details": [detail], "tool_calls": [_CALL]}
    assert (await send(messages=[message]))["messages"] == [message]


@pytest.mark.parametrize(
    ("given", "sent_id"),
    [
        ("kilocode/anthropic/claude-sonnet-4.6", "anthropic/claude-sonnet-4.6"),
        ("kilo/anthropic/claude-sonnet-4.6", "anthropic/claude-sonnet-4.6"),
        ("kilocode/kilo/auto", "kilo/auto"),
        ("kilo/kilo-auto/balanced", "kilo-auto/balanced"),
        ("  openai/gpt-5.4 ", "openai/gpt-5.4"),
        ("Vendor/Model:free", "Vendor/Model:free"),
    ],
)
async def test_client_prefixes_stay_here(send: Any, given: str, sent_id: str) -> None:
    assert (await send(model=given))["model"] == sent_id


async def test_extra_body_comes_last_and_takes_anything(send: Any) -> None:
    sent = await send(
        temperature=0.1,
        provider={"only": ["x"], "sort": "price"},
        max_completion_tokens=5,
        extra_body={
            "temperature": 0.9,
            "provider": {"sort": "latency"},
            "brand_new": [1],
            "max_tokens": None,
            "max_completion_tokens": 6,
            "store": True,
            "reasoning_effort": "none",
        },
    )
    assert "extra_body" not in sent
    assert "max_tokens" not in sent
    expected = {
        "temperature": 0.9,
        "provider": {"only": ["x"], "sort": "latency"},
        "brand_new": [1],
        "max_completion_tokens": 6,
        "store": True,
        "reasoning_effort": "none",
    }
    assert {name: sent[name] for name in expected} == expected


async def test_the_gateways_own_fields_are_ordinary_parameters(send: Any) -> None:
    fields = {
        "provider": {"order": ["a"], "data_collection": "deny", "zdr": True},
        "verbosity": "low",
        "transforms": ["middle-out"],
        "plugins": [{"id": "web"}],
        "top_k": 3,
        "response_format": {"type": "json_object"},
        "tool_choice": "required",
    }
    sent = await send(**fields)
    assert {name: sent[name] for name in fields} == fields


async def test_chat_completions_is_the_only_way(gateway: LocalGateway, ask: Ask) -> None:
    await ask(transport_to(gateway), {**BODY, "model": "openai/gpt-5.4"})
    assert [(request.method, request.path) for request in gateway.requests] == [
        ("POST", "/api/gateway/chat/completions")
    ]


PLAIN = ["accept", "accept-encoding", "authorization", "connection", "host", "user-agent"]


async def test_exactly_these_headers_are_sent(gateway: LocalGateway, ask: Ask) -> None:
    await ask(transport_to(gateway), BODY)
    names = sorted(name.lower() for name, _ in gateway.last_request.header_pairs)
    assert names == sorted([*PLAIN, "content-length", "content-type"])
    assert gateway.last_request.headers["content-type"] == "application/json"
    assert gateway.last_request.headers["user-agent"].startswith("python-httpx")
    assert gateway.last_request.authorization == f"Bearer {KEY}"


async def test_without_a_key_there_is_no_authorization(gateway: LocalGateway, ask: Ask) -> None:
    await ask(transport_to(gateway, api_key=None), {**BODY, "model": "stepfun/step-3.7-flash:free"})
    names = sorted(name.lower() for name, _ in gateway.last_request.header_pairs)
    assert names == sorted([*PLAIN, "content-length", "content-type"])[:2] + sorted(
        name for name in [*PLAIN, "content-length", "content-type"] if name > "authorization"
    )


@pytest.mark.parametrize("way", ["request", "arequest"])
async def test_a_get_sends_exactly_these_headers(gateway: LocalGateway, way: str) -> None:
    transport = transport_to(gateway)
    await transport.arequest("GET", "/api/profile") if way == "arequest" else transport.request("GET", "/api/profile")
    assert sorted(name.lower() for name, _ in gateway.last_request.header_pairs) == PLAIN
    assert gateway.last_request.body == b""


async def test_the_feature_and_the_organization_win_over_the_callers_headers(gateway: LocalGateway, ask: Ask) -> None:
    config = GatewayConfig.resolve(
        base_url=gateway.base_url, api_key=KEY, organization_id="org-1", feature="direct-gateway"
    )
    theirs = {
        "x-kilocode-feature": "theirs",
        "X-KiloCode-OrganizationId": "theirs",
        "AUTHORIZATION": "Bearer theirs",
        "content-type": "text/plain",
        "Content-Length": "3",
        "x-kilocode-mode": "plan",
    }
    await ask(Transport(config, headers=theirs), BODY)
    got = gateway.last_request
    names = [name.lower() for name, _ in got.header_pairs]
    assert len(names) == len(set(names))
    assert got.headers["x-kilocode-feature"] == "direct-gateway"
    assert got.headers["x-kilocode-organizationid"] == "org-1"
    assert got.headers["x-kilocode-mode"] == "plan"
    assert got.headers["content-type"] == "application/json"
    assert got.authorization == f"Bearer {KEY}"


async def test_text_of_every_kind_arrives_as_it_is(send: Any) -> None:
    text = "ü 你好 \U0001f600 \u2028 \x00 \ud800"
    sent = await send(messages=[{"role": "user", "content": text}])
    assert sent["messages"][0]["content"] == text


async def test_half_a_character_is_asked_and_answered(gateway: LocalGateway, ask: Ask) -> None:
    """Text that was cut in the middle of an emoji: JSON can tell it by its number, UTF-8 has no bytes for it."""
    answer = await ask(transport_to(gateway), {**BODY, "messages": [{"role": "user", "content": "Say \ud83d."}]})
    assert "\ud83d" in answer.text
    assert b"\\ud83d" in gateway.last_request.body


async def test_the_callers_body_is_left_alone(gateway: LocalGateway, ask: Ask) -> None:
    body = {
        **BODY,
        "messages": [{"role": "developer", "content": "x"}],
        "stop": "x",
        "max_completion_tokens": 4,
        "tools": [_tool(strict=False)],
        "reasoning_effort": "low",
        "extra_body": {"provider": {"only": ["x"]}},
    }
    before = repr(body)
    await ask(transport_to(gateway), body)
    assert repr(body) == before
