"""LangChain's own standard tests, with every capability on, against the local gateway."""

from __future__ import annotations

import base64
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from kilocode_gateway.local import LocalGateway, Reply
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

MODEL = "anthropic/claude-sonnet-4.6"
KEY = "test-key-1"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class _Gateway:
    """The gateway of the running test: standard test classes take their settings from properties."""

    current: LocalGateway


@pytest.fixture(autouse=True)
def _running(make_gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _Gateway.current = make_gateway()
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tests")
    # The suite downloads pictures and documents; a small one of each kind does.
    monkeypatch.setattr(
        httpx, "get", lambda url, **_: httpx.Response(200, content=PNG, request=httpx.Request("GET", url))
    )


@pytest.fixture(autouse=True)
def _loadable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For `load`, "all" are the classes of LangChain's own organization; the suite wants ours among them."""
    if "serdes" in request.node.name:
        module = sys.modules["langchain_core.load.load"]
        where = ("langchain_kilocode", "chat_models", "ChatKiloCode")
        monkeypatch.setitem(module.ALL_SERIALIZABLE_MAPPINGS, where, where)
        monkeypatch.setattr(module, "_default_class_paths_cache", {})


class TestChatUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatKiloCode]:
        return ChatKiloCode

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "base_url": "http://127.0.0.1:9/api/gateway/", "api_key": KEY}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        env = {"KILOCODE_API_KEY": KEY, "KILOCODE_BASE_URL": "http://127.0.0.1:9/x", "KILOCODE_ORGANIZATION_ID": "org"}
        same = ChatKiloCode(api_key=KEY, base_url="http://127.0.0.1:9/x", organization_id="org").gateway_config
        return env, {"model": MODEL}, {"gateway_config": _from_env(same)}

    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_video_inputs = True
    supports_anthropic_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True


def _from_env(config: Any) -> Any:
    return dataclasses.replace(config, api_key_from_env=True)


class TestChatIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatKiloCode]:
        return ChatKiloCode

    @property
    def chat_model_params(self) -> dict[str, Any]:
        gateway = _Gateway.current
        # By the gateway's list it takes audio and video too; most models do not.
        return {"model": "google/gemini-3.1-pro-preview", "base_url": gateway.base_url, "api_key": gateway.api_key}

    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_video_inputs = True
    returns_usage_metadata = True
    supports_anthropic_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    supports_model_override = True
    model_override_value = "openai/gpt-5.4"

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        every = ["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]
        return {"invoke": every, "stream": every}

    def _used(
        self, *, stream: bool, prompt: dict[str, int] | None = None, completion: dict[str, int] | None = None
    ) -> AIMessage:
        usage = {"prompt_tokens": 900, "completion_tokens": 90, "total_tokens": 990}
        details = {"prompt_tokens_details": prompt or {}, "completion_tokens_details": completion or {}}
        _Gateway.current.script(Reply.text("As you wish.", usage={**usage, **details}))
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            return model.invoke("Go on.")
        chunks = list(model.stream("Go on."))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return whole

    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        return self._used(stream=stream, prompt={"audio_tokens": 7})

    def invoke_with_audio_output(self, *, stream: bool = False) -> AIMessage:
        return self._used(stream=stream, completion={"audio_tokens": 7})

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._used(stream=stream, completion={"reasoning_tokens": 7})

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._used(stream=stream, prompt={"cached_tokens": 7})

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self._used(stream=stream, prompt={"cache_write_tokens": 7})


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[KiloCodeEmbeddings]:
        return KiloCodeEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"api_key": KEY}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"KILOCODE_API_KEY": KEY},
            {},
            {"gateway_config": _from_env(KiloCodeEmbeddings(api_key=KEY).gateway_config)},
        )


class TestEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[KiloCodeEmbeddings]:
        return KiloCodeEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": _Gateway.current.base_url, "api_key": _Gateway.current.api_key}
