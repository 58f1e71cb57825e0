"""The profile: what the catalog tells of a model, as LangChain reads it."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models import ModelProfile
from pydantic import BaseModel

from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, _profile

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


@pytest.fixture
def seer(make_gateway: Any) -> ChatKiloCode:
    found = make_gateway(models=[ENTRY, PLAIN])
    model = ChatKiloCode(model="vendor/seer", base_url=found.base_url, api_key=found.api_key)
    model.__dict__["metadata"] = {"gateway": found}
    return model


def _asked(model: ChatKiloCode) -> int:
    return len([request for request in model.metadata["gateway"].requests if request.path.endswith("/models")])


def test_every_field_that_the_catalog_tells(seer: ChatKiloCode) -> None:
    expected = {
        "name": "Seer",
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


async def test_inside_an_event_loop_nothing_waits(seer: ChatKiloCode) -> None:
    assert seer.profile == {}
    assert await seer.aload() is seer
    assert seer.profile["max_input_tokens"] == 200_000
    assert _asked(seer) == 1


async def test_background_fetch_is_seen_by_a_later_reading(seer: ChatKiloCode) -> None:
    for _ in range(100):
        if seer.profile:
            break
        await asyncio.sleep(0.02)
    assert seer.profile["max_input_tokens"] == 200_000


def test_older_frameworks_get_no_field_that_they_do_not_know(
    seer: ChatKiloCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_profile, "_known_fields", lambda: frozenset({"name"}))
    assert seer.profile == {"name": "Seer"}


def test_summarization_by_fraction(seer: ChatKiloCode) -> None:
    SummarizationMiddleware(seer, trigger=("fraction", 0.5), keep=("messages", 2))


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
