"""The profile: what the catalog tells of a model, as LangChain reads it."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models import ModelProfile
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from kilocode_gateway import Catalog
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, _profile
from tests.core.helpers import soon

ENTRY = {
    "id": "vendor/seer",
    "name": "Seer",
    "created": 1,
    "context_length": 200_000,
    "architecture": {
        "input_modalities": ["text", "image", "pdf", "audio"],
        "output_modalities": ["text"],
        "tokenizer": "Other",
    },
    "top_provider": {"is_moderated": False, "max_completion_tokens": 9000},
    "pricing": {"prompt": "0.000001", "completion": "0.000002"},
    "supported_parameters": ["tools", "tool_choice", "temperature", "reasoning", "structured_outputs"],
    "opencode": {"variants": {"low": {"reasoning": {"effort": "low"}}, "high": {"reasoning": {"effort": "high"}}}},
}
PLAIN = {**ENTRY, "id": "vendor/plain", "supported_parameters": ["response_format"], "opencode": {}}


_AUTO_PARAMETERS = ["max_tokens", "temperature", "tools", "tool_choice", "reasoning", "structured_outputs"]
AUTO = {
    **ENTRY,
    "id": "kilo-auto/efficient",
    "created": 0,
    "context_length": 1_000_000,
    "top_provider": {"max_completion_tokens": 65_536},
    "supported_parameters": _AUTO_PARAMETERS,
    "autoRouting": {"models": ["vendor/seer", "vendor/blind", "vendor/not-listed", None]},
}
BLIND = {
    **ENTRY,
    "id": "vendor/blind",
    "context_length": 32_000,
    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
    "top_provider": {"max_completion_tokens": 40_000},
    "expiration_date": "2027-01-01",
}


@pytest.fixture
def seer(make_gateway: Any) -> ChatKiloCode:
    found = make_gateway(models=[ENTRY, PLAIN, AUTO, BLIND])
    model = ChatKiloCode(model="vendor/seer", base_url=found.base_url, api_key=found.api_key)
    model.__dict__["metadata"] = {"gateway": found}
    return model


def _asked(model: ChatKiloCode) -> int:
    return len([request for request in model.metadata["gateway"].requests if request.path.endswith("/models")])


def test_every_field_that_the_catalog_tells(seer: ChatKiloCode) -> None:
    expected = {
        "name": "Seer",
        "release_date": "1970-01-01",
        "max_input_tokens": 200_000,
        "max_output_tokens": 9000,
        "text_inputs": True,
        "image_inputs": True,
        "image_url_inputs": True,
        "pdf_inputs": True,
        "audio_inputs": True,
        "video_inputs": False,
        "attachment": True,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": True,
        "reasoning_effort_levels": ["low", "high"],
        "tool_calling": True,
        "tool_choice": True,
        "tool_call_streaming": True,
        "structured_output": True,
        "temperature": True,
    }
    assert seer.profile == {name: value for name, value in expected.items() if name in ModelProfile.__annotations__}
    assert type(seer.profile) is dict


def test_it_is_computed_at_first_reading_and_kept(seer: ChatKiloCode) -> None:
    assert _asked(seer) == 0
    seer.invoke("Hello")
    seer.bind_tools([]).invoke("Hello")
    assert _asked(seer) == 0
    first = seer.profile
    assert seer.profile is first
    assert _asked(seer) == 1


def test_users_own_wins(seer: ChatKiloCode) -> None:
    own = ChatKiloCode(model="vendor/seer", base_url=seer.base_url, profile={"max_input_tokens": 5})
    assert own.profile == {"max_input_tokens": 5}
    assert own.model_copy(update={"model": "vendor/plain"}).profile == {"max_input_tokens": 5}
    seer.profile = {"max_input_tokens": 6}
    assert seer.profile == {"max_input_tokens": 6}
    assert pickle.loads(pickle.dumps(own)).profile == {"max_input_tokens": 5}


def test_computed_one_does_not_follow_to_another_model(seer: ChatKiloCode) -> None:
    assert seer.profile["tool_calling"] is True
    assert seer.model_copy(update={"model": "vendor/plain"}).profile["tool_calling"] is False
    assert copy.deepcopy(seer.model_copy(update={"metadata": None})).profile["tool_calling"] is True
    seer.model_name = "vendor/plain"
    assert seer.profile["tool_calling"] is False


def test_unknown_model_has_an_empty_one(seer: ChatKiloCode) -> None:
    assert seer.model_copy(update={"model": "vendor/nobody"}).profile == {}


def test_auto_models_promise_little() -> None:
    model = ChatKiloCode(base_url="http://127.0.0.1:9/")
    assert model.profile["tool_calling"] is True
    assert model.profile["structured_output"] is False
    assert model.profile["max_input_tokens"] == 1_000_000
    assert "tool_choice" not in model.profile or model.profile["tool_choice"] is False


def test_auto_model_promises_what_each_routed_model_keeps(seer: ChatKiloCode) -> None:
    profile = seer.model_copy(update={"model": "kilo-auto/efficient"}).profile
    assert profile["max_input_tokens"] == 32_000
    assert profile["max_output_tokens"] == 9000
    assert profile["tool_calling"] is True
    assert profile["reasoning_output"] is True
    assert profile["structured_output"] is False
    unsaid = ("image_inputs", "pdf_inputs", "audio_inputs", "attachment", "tool_choice", "reasoning_effort_levels")
    assert not [name for name in unsaid if name in profile]
    assert "release_date" not in profile


def test_model_that_will_be_retired_is_told(seer: ChatKiloCode) -> None:
    assert seer.model_copy(update={"model": "vendor/blind"}).profile.get("status") == "deprecated"
    assert "status" not in seer.profile


@pytest.mark.parametrize("created", [10**30, -5, "soon", None])
def test_release_date_that_is_none(make_gateway: Any, created: Any) -> None:
    found = make_gateway(models=[{**ENTRY, "created": created}])
    profile = ChatKiloCode(model="vendor/seer", base_url=found.base_url).profile
    assert profile["name"] == "Seer"
    assert "release_date" not in profile


def test_no_field_that_this_langchain_core_warns_of(seer: ChatKiloCode) -> None:
    for model in ("vendor/seer", "kilo-auto/efficient"):
        again = ChatKiloCode(model=model, profile=seer.model_copy(update={"model": model}).profile)
        assert again.profile


@pytest.mark.parametrize(("model", "asks"), [("vendor/seer", "json_schema"), ("kilo-auto/efficient", "tools")])
def test_agent_asks_for_structured_output_as_the_profile_says(seer: ChatKiloCode, model: str, asks: str) -> None:
    found = seer.metadata["gateway"]
    agent = create_agent(seer.model_copy(update={"model": model}), [], response_format=Joke)
    assert agent.invoke({"messages": [HumanMessage("A joke.")]})["structured_response"].setup
    sent = found.chat_requests[0].json
    assert ("response_format" in sent, "tools" in sent) == (asks == "json_schema", asks == "tools")


async def test_inside_an_event_loop_nothing_waits(seer: ChatKiloCode) -> None:
    assert seer.profile == {}
    assert await seer.aload() is seer
    assert seer.profile["max_input_tokens"] == 200_000
    assert _asked(seer) == 1


async def test_aload_forgets_what_was_known_before(seer: ChatKiloCode) -> None:
    await seer.aload()
    assert seer.profile["max_input_tokens"] == 200_000
    newer = {"data": [{**ENTRY, "context_length": 300_000}]}
    seer.metadata["gateway"].script(Reply.raw(200, newer), path="models")
    await Catalog.adiscover(config=seer.gateway_config, refresh=True)
    assert seer.profile["max_input_tokens"] == 200_000
    await seer.aload()
    assert seer.profile["max_input_tokens"] == 300_000


async def test_background_fetch_is_seen_by_a_later_reading(seer: ChatKiloCode) -> None:
    assert await soon(lambda: seer.profile)
    assert seer.profile["max_input_tokens"] == 200_000


def test_older_frameworks_get_no_field_that_they_do_not_know(
    seer: ChatKiloCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_profile, "_known_fields", lambda: frozenset({"name"}))
    assert seer.profile == {"name": "Seer"}


@pytest.mark.parametrize(("model", "sums_up"), [("vendor/seer", False), ("kilo-auto/efficient", True)])
def test_summarization_by_fraction(seer: ChatKiloCode, model: str, sums_up: bool) -> None:
    found = seer.metadata["gateway"]
    asked = seer.model_copy(update={"model": model, "metadata": None})
    middleware = SummarizationMiddleware(asked, trigger=("fraction", 0.5), keep=("messages", 1))
    # About 20,000 tokens: more than half of the smallest routed model's 32,000, far less than half of 200,000.
    messages = [*(HumanMessage("word " * 800) for _ in range(20)), HumanMessage("Well?")]
    create_agent(asked, [], middleware=[middleware]).invoke({"messages": messages})
    assert len(found.chat_requests) == (2 if sums_up else 1)


class Joke(BaseModel):
    """A joke."""

    setup: str


def test_structured_output_is_asked_for_as_the_catalog_says(seer: ChatKiloCode) -> None:
    found = seer.metadata["gateway"]
    assert seer.profile
    plain = seer.model_copy(update={"model": "vendor/plain"})
    found.script(Reply.text(json.dumps({"setup": "Why?"})))
    assert plain.with_structured_output(Joke).invoke("A joke.") == Joke(setup="Why?")
    assert found.last_request.json["response_format"] == {"type": "json_object"}
    assert seer.with_structured_output(Joke).invoke("A joke.").setup
    assert found.last_request.json["tools"][0]["function"]["name"] == "Joke"
