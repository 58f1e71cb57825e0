"""What reaches the gateway: each rule for proxy-style requests as bytes, the headers, and nothing of OPENAI_*."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_kilocode import KiloCode, KiloCodeEmbedding

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

HI = [ChatMessage(role="user", content="Hi.")]


class City(BaseModel):
    """A city."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


def body(gateway: LocalGateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.chat_requests[-1].json
    return found


def test_the_developer_role_becomes_system(make_llm: Any, gateway: LocalGateway) -> None:
    for model in ("openai/o3", "o3", "gpt-5"):
        make_llm(model=model, temperature=0.4, max_tokens=7).chat(
            [ChatMessage(role="developer", content="Be brief."), *HI]
        )
        sent = body(gateway)
        assert [message["role"] for message in sent["messages"]] == ["system", "user"]
        assert (sent["model"], sent["temperature"], sent["max_tokens"]) == (model, 0.4, 7)
        assert "max_completion_tokens" not in sent


def test_what_native_openai_clients_add_is_not_sent(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.chat_with_tools([TOOL], user_msg="Add 1 and 2.")
    sent = body(gateway)
    unwanted = {
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "parallel_tool_calls",
        "stream_options",
    }
    assert not unwanted & set(sent)
    assert "strict" not in sent["tools"][0]["function"]
    assert "additionalProperties" not in sent["tools"][0]["function"]["parameters"]
    assert sent["tool_choice"] == "auto"


def test_they_are_sent_where_the_user_asks_for_them(make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(store=True, service_tier="flex", prompt_cache_key="k")
    llm.chat_with_tools([TOOL], user_msg="Add.", parallel_tool_calls=True, strict=True)
    sent = body(gateway)
    assert (sent["store"], sent["service_tier"], sent["prompt_cache_key"], sent["parallel_tool_calls"]) == (
        True,
        "flex",
        "k",
        True,
    )
    assert sent["tools"][0]["function"]["strict"] is True
    assert sent["tools"][0]["function"]["parameters"]["additionalProperties"] is False


def test_strict_tools_leave_the_tool_itself_alone(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(strict=True).chat_with_tools([TOOL], user_msg="Add.")
    assert body(gateway)["tools"][0]["function"]["strict"] is True
    assert "additionalProperties" not in TOOL.metadata.get_parameters_dict()


def test_stop_is_a_list(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(stop="END").chat(HI)
    assert body(gateway)["stop"] == ["END"]


def test_a_stream_asks_for_its_usage(llm: KiloCode, gateway: LocalGateway) -> None:
    list(llm.stream_chat(HI))
    assert body(gateway)["stream"] is True
    assert body(gateway)["stream_options"] == {"include_usage": True}
    llm.chat(HI)
    assert not {"stream", "stream_options"} & set(body(gateway))


def test_reasoning_effort_takes_the_gateways_form(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(model="openai/gpt-5.4", reasoning_effort="high").chat(HI)
    assert body(gateway)["reasoning"] == {"effort": "high"}
    assert "reasoning_effort" not in body(gateway)


@pytest.mark.parametrize("model", ["kilo/auto", "kilo-auto/balanced", "x-ai/grok-4"])
def test_reasoning_effort_is_left_out_where_it_is_useless(make_llm: Any, gateway: LocalGateway, model: str) -> None:
    with pytest.warns(UserWarning, match="reasoning_effort"):
        make_llm(model=model, reasoning_effort="high").chat(HI)
    assert not {"reasoning", "reasoning_effort"} & set(body(gateway))


def test_only_chat_completions_is_called(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.complete("Hi.")
    llm.complete("Hi.", use_chat_completions=False)
    assert {request.path.rpartition("/api/gateway/")[2] for request in gateway.chat_requests} == {"chat/completions"}


def test_the_client_prefix_is_stripped_and_kept_in_the_setting(make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(model="kilocode/anthropic/claude-sonnet-4.6")
    response = llm.chat(HI)
    assert body(gateway)["model"] == "anthropic/claude-sonnet-4.6"
    assert llm.model == response.additional_kwargs["requested_model"] == "kilocode/anthropic/claude-sonnet-4.6"


@pytest.mark.parametrize(("dialect", "served"), [("february", "kilo/auto"), ("newest", "kilo-auto/balanced")])
def test_the_default_is_kilo_auto_on_old_and_new_gateways(make_gateway: Any, dialect: str, served: str) -> None:
    gateway = make_gateway(dialect=dialect)
    llm = KiloCode(api_key="test-key-1", api_base=gateway.base_url)
    for _ in range(2):
        response = llm.chat(HI)
        assert body(gateway)["model"] == served
        assert (llm.model, response.additional_kwargs["requested_model"]) == ("kilo/auto", "kilo/auto")


def test_exactly_these_headers_are_sent(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.chat(HI)
    assert set(gateway.chat_requests[-1].headers) == {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "authorization",
        "content-type",
        "content-length",
    }


def test_organization_and_feature(make_llm: Any, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_FEATURE", "my-app")
    make_llm(organization_id="org-1").chat(HI)
    headers = gateway.chat_requests[-1].headers
    assert (headers["x-kilocode-organizationid"], headers["x-kilocode-feature"]) == ("org-1", "my-app")


def test_without_a_key_no_authorization_is_sent(gateway: LocalGateway) -> None:
    KiloCode(api_base=gateway.base_url, model="kilo-auto/free").chat(HI)
    assert "authorization" not in gateway.chat_requests[-1].headers


CANARIES = [
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "OPENAI_API_VERSION",
    "OPENAI_API_TYPE",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT_ID",
    "OPENAI_PROXY",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_WEBHOOK_SECRET",
]

SCRIPT = """
import asyncio, sys
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from llama_index_kilocode import KiloCode, KiloCodeEmbedding

class City(BaseModel):
    name: str

def add(a: int, b: int) -> int:
    return a + b

llm, hi = KiloCode(), [ChatMessage(role="user", content="Hi.")]
llm.chat(hi); llm.complete("Hi."); list(llm.stream_chat(hi)); list(llm.stream_complete("Hi."))

async def run():
    await llm.achat(hi); await llm.acomplete("Hi.")
    [piece async for piece in await llm.astream_chat(hi)]
    [piece async for piece in await llm.astream_complete("Hi.")]
    await llm.aload()
    await KiloCodeEmbedding().aget_query_embedding("Hi.")

asyncio.run(run())
llm.structured_predict(City, PromptTemplate("Hi."))
llm.predict_and_call([FunctionTool.from_defaults(add)], user_msg="Add 1 and 2.")
KiloCodeEmbedding().get_text_embedding_batch(["a", "b"])
llm.metadata
print(repr(llm), llm.to_json(), llm.to_payload())
"""


@pytest.mark.timeout(120)
def test_nothing_of_openais_variables_is_read_or_sent(gateway: LocalGateway) -> None:
    with socket.socket() as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.listen()
        elsewhere.setblocking(False)
        trap = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/canary"
        values = {name: f"canary-{name.lower()}" for name in CANARIES}
        values |= dict.fromkeys(("OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_PROXY"), trap)
        values["OPENAI_CUSTOM_HEADERS"] = "X-Canary: canary-header"
        values["OPENAI_API_TYPE"] = "azure"
        ours = {"KILOCODE_API_KEY": "test-key-1", "KILOCODE_BASE_URL": gateway.base_url}
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env={**os.environ, **values, **ours},
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        assert run.returncode == 0, run.stderr
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert len(gateway.requests) >= 13
    for request in gateway.requests:
        everything = f"{request.method} {request.path} {dict(request.headers)} {request.body!r}".lower()
        assert "canary" not in everything
        assert "openai-" not in everything
        if request.method == "POST":
            assert request.authorization == "Bearer test-key-1"
    assert "canary" not in run.stdout
    assert "test-key-1" not in run.stdout


def test_messages_are_left_as_they_were(llm: KiloCode) -> None:
    history = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", blocks=[TextBlock(text="Look."), ImageBlock(url="https://example.com/cat.png")]),
    ]
    before = [message.model_dump() for message in history]
    llm.chat(history)
    list(llm.stream_chat(history))
    llm.chat_with_tools([TOOL], user_msg="Add.", chat_history=history)
    asyncio.run(llm.achat(history))
    llm.structured_predict(City, PromptTemplate("Hi."))
    assert [message.model_dump() for message in history] == before


def test_embeddings_send_strings_and_ask_for_floats(gateway: LocalGateway) -> None:
    KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url, dimensions=8).get_text_embedding_batch(
        ["a\nb", "c"]
    )
    assert gateway.last_request.json == {
        "model": "openai/text-embedding-3-small",
        "input": ["a\nb", "c"],
        "encoding_format": "float",
        "dimensions": 8,
    }
