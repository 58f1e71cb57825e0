"""What reaches the gateway: each rule for proxies, seen in the bytes that arrived."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool

from kilocode_gateway.local import Reply


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_plain_request_holds_model_and_messages_only(ask: Any, model: Any, gateway: Any) -> None:
    await ask(model, "Hello")
    sent = dict(gateway.last_request.json)
    streamed = sent.pop("stream", False)
    assert sent.pop("stream_options", {"include_usage": True}) == {"include_usage": True}
    assert sent == {"model": "anthropic/claude-sonnet-4.6", "messages": [{"role": "user", "content": "Hello"}]}
    assert streamed in (True, False)


async def test_path_and_headers(ask: Any, make_model: Any, gateway: Any) -> None:
    await ask(make_model(organization_id="org-1", feature="tests", default_headers={"X-More": "1"}), "Hello")
    request = gateway.last_request
    assert request.path == "/api/gateway/chat/completions"
    assert request.authorization == f"Bearer {gateway.api_key}"
    assert request.headers["x-kilocode-organizationid"] == "org-1"
    assert request.headers["x-kilocode-feature"] == "tests"
    assert request.headers["x-more"] == "1"
    assert not [name for name in request.headers if name.startswith(("x-stainless", "openai"))]


@pytest.mark.parametrize(
    "message",
    [
        SystemMessage("Be kind.", additional_kwargs={"__openai_role__": "developer"}),
        ChatMessage("Be kind.", role="developer"),
    ],
)
async def test_no_developer_role(ask: Any, make_model: Any, gateway: Any, message: Any) -> None:
    gateway.script(Reply.text("Hi"))
    await ask(make_model(model="openai/o3"), [message, HumanMessage("Hello")])
    assert gateway.last_request.json["messages"][0] == {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_output_limit_is_called_max_tokens(ask: Any, make_model: Any, gateway: Any, name: str) -> None:
    await ask(make_model(**{name: 77}), "Hello")
    assert gateway.last_request.json["max_tokens"] == 77
    assert "max_completion_tokens" not in gateway.last_request.json
    await ask(make_model(), "Hello", **{name: 78})
    assert gateway.last_request.json["max_tokens"] == 78
    assert "max_completion_tokens" not in gateway.last_request.json


async def test_hints_for_openai_only_are_not_sent_unless_set(ask: Any, model: Any, gateway: Any) -> None:
    await ask(model.bind_tools([add]), "Hello")
    sent = gateway.last_request.json
    assert not {"store", "service_tier", "prompt_cache_key", "parallel_tool_calls", "user"} & set(sent)
    assert "strict" not in sent["tools"][0]["function"]
    await ask(
        model.bind_tools([add], strict=True, parallel_tool_calls=False),
        "Hello",
        store=False,
        service_tier="flex",
        prompt_cache_key="k",
    )
    sent = gateway.last_request.json
    assert sent["tools"][0]["function"]["strict"] is True
    assert (sent["parallel_tool_calls"], sent["store"], sent["service_tier"], sent["prompt_cache_key"]) == (
        False,
        False,
        "flex",
        "k",
    )


async def test_stop_is_a_list(ask: Any, make_model: Any, gateway: Any) -> None:
    await ask(make_model(stop="END"), "Hello")
    assert gateway.last_request.json["stop"] == ["END"]
    await ask(make_model(stop_sequences=["A"]), "Hello", stop=["B"])
    assert gateway.last_request.json["stop"] == ["B"]


async def test_reasoning_effort_becomes_the_gateways_form(ask: Any, make_model: Any, gateway: Any) -> None:
    await ask(make_model(reasoning_effort="high"), "Hello")
    assert gateway.last_request.json["reasoning"] == {"effort": "high"}
    assert "reasoning_effort" not in gateway.last_request.json


@pytest.mark.parametrize("name", ["kilo-auto/balanced", "x-ai/grok-4"])
async def test_reasoning_effort_is_left_out_where_it_is_of_no_use(
    ask: Any, make_model: Any, gateway: Any, name: str
) -> None:
    model = make_model(model=name, reasoning_effort="high")
    gateway.script(Reply.text("Hi"))
    with pytest.warns(UserWarning, match="reasoning_effort"):
        await ask(model, "Hello")
    assert not {"reasoning", "reasoning_effort"} & set(gateway.last_request.json)


async def test_reasoning_goes_out_as_it_is(ask: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("Hi"))
    await ask(make_model(model="x-ai/grok-4", reasoning={"enabled": True, "new_key": 1}), "Hello")
    assert gateway.last_request.json["reasoning"] == {"enabled": True, "new_key": 1}
    assert gateway.last_request.path.endswith("/chat/completions")


@pytest.mark.parametrize("name", ["openai/gpt-5.1-codex", "gpt-5-pro", "gpt-6"])
async def test_never_the_responses_api(ask: Any, make_model: Any, gateway: Any, name: str) -> None:
    gateway.script(Reply.text("Hi"))
    await ask(make_model(model=name, reasoning={"effort": "low"}).bind_tools([add]), "Hello")
    assert gateway.last_request.path == "/api/gateway/chat/completions"


async def test_temperature_is_never_dropped(ask: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(Reply.text("Hi"), Reply.text("Hi"))
    await ask(make_model(model="gpt-5", temperature=0.2), "Hello")
    assert gateway.last_request.json["temperature"] == 0.2
    await ask(make_model(model="o1"), "Hello")
    assert "temperature" not in gateway.last_request.json


async def test_usage_is_asked_for_in_streams(ask_streamed: Any, model: Any, gateway: Any) -> None:
    await ask_streamed(model, "Hello")
    assert gateway.last_request.json["stream_options"] == {"include_usage": True}


async def test_gateway_fields_merge_deeply_and_the_call_wins(ask: Any, make_model: Any, gateway: Any) -> None:
    model = make_model(
        provider={"order": ["a"], "zdr": True, "new_key": {"x": 1}},
        verbosity="low",
        transforms=["middle-out"],
        plugins=[{"id": "web"}],
        top_k=5,
        extra_body={"one": {"a": 1}},
    )
    await ask(model, "Hello", provider={"order": ["b"]}, verbosity="high", extra_body={"one": {"b": 2}, "two": 2})
    sent = gateway.last_request.json
    assert sent["provider"] == {"order": ["b"], "zdr": True, "new_key": {"x": 1}}
    assert (sent["verbosity"], sent["transforms"], sent["plugins"], sent["top_k"]) == (
        "high",
        ["middle-out"],
        [{"id": "web"}],
        5,
    )
    assert (sent["one"], sent["two"]) == ({"a": 1, "b": 2}, 2)
    assert "extra_body" not in sent
    assert model.provider == {"order": ["a"], "zdr": True, "new_key": {"x": 1}}


async def test_request_fields_without_a_field_of_the_class_are_sent_too(
    ask: Any, make_model: Any, gateway: Any
) -> None:
    await ask(make_model(web_search_options={"a": 1}, model_kwargs={"modalities": ["text", "image"]}), "Hello")
    assert gateway.last_request.json["web_search_options"] == {"a": 1}
    assert gateway.last_request.json["modalities"] == ["text", "image"]


async def test_feature_wins_over_the_callers_headers(ask: Any, make_model: Any, gateway: Any) -> None:
    await ask(make_model(feature="mine", default_headers={"x-kilocode-feature": "theirs"}), "Hello")
    sent = [value for name, value in gateway.last_request.headers.items() if name == "x-kilocode-feature"]
    assert sent == ["mine"]


async def test_extra_body_comes_last(ask: Any, make_model: Any, gateway: Any) -> None:
    model = make_model(temperature=0.5, extra_body={"temperature": 0.9, "models": ["a/b"]})
    await ask(model, "Hello", seed=1)
    sent = gateway.last_request.json
    assert (sent["temperature"], sent["models"], sent["seed"]) == (0.9, ["a/b"], 1)


@pytest.mark.parametrize(("data", "kept"), [("ZGF0YQ==", True), ("not base64!", False)])
async def test_gemini_gets_no_signature_that_is_no_base64(
    ask: Any, make_model: Any, gateway: Any, data: str, kept: bool
) -> None:
    details = [{"type": "reasoning.encrypted", "data": data, "format": "google-gemini-v1"}]
    history = [
        HumanMessage("Hello"),
        AIMessage("Hi", additional_kwargs={"reasoning_details": details}),
        HumanMessage("So?"),
    ]
    await ask(make_model(model="google/gemini-3.1-pro-preview"), history)
    assert gateway.last_request.json["messages"][1].get("reasoning_details") == (details if kept else [])


async def test_kilo_auto_is_answered_by_its_successor(ask: Any, make_model: Any, gateway: Any) -> None:
    answer = await ask(make_model(model="kilo/auto"), "Hello")
    assert gateway.last_request.json["model"] == "kilo-auto/balanced"
    assert answer.response_metadata["requested_model"] == "kilo/auto"


async def test_model_of_a_call(ask: Any, model: Any, gateway: Any) -> None:
    await ask(model, "Hello", model="kilocode/openai/gpt-5.4")
    assert gateway.last_request.json["model"] == "openai/gpt-5.4"


def test_several_answers(make_model: Any, gateway: Any) -> None:
    one = {"id": "gen-1", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for i, text in enumerate("ab")
    ]
    gateway.script(Reply.raw(200, {**one, "choices": choices}))
    result = make_model(n=2).generate([[HumanMessage("Hello")]])
    assert [generation.text for generation in result.generations[0]] == ["a", "b"]
    assert gateway.last_request.json["n"] == 2
    assert result.llm_output["token_usage"]["total_tokens"] == 7
    used = [generation.message.usage_metadata for generation in result.generations[0]]
    assert used[0]["total_tokens"] == 7
    assert used[1] is None
