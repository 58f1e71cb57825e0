"""deepagents: what it chooses by the model's profile. It is installed in one environment of `.ci/run`."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode

if importlib.util.find_spec("deepagents") is None:
    pytest.skip("deepagents is not installed here", allow_module_level=True)

from deepagents import create_deep_agent

SEER: dict[str, Any] = {
    "id": "vendor/seer",
    "name": "Seer",
    "context_length": 20_000,
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "pricing": {"prompt": "0.000001", "completion": "0.000002"},
    "supported_parameters": ["tools", "tool_choice", "structured_outputs"],
}
BLIND: dict[str, Any] = {**SEER, "id": "vendor/blind", "architecture": {"input_modalities": ["text"]}}
PICTURE = {"type": "image", "base64": "QUJD", "mime_type": "image/png"}


@pytest.fixture
def found(make_gateway: Any) -> Any:
    return make_gateway(models=[SEER, BLIND])


@pytest.fixture
def make(found: Any) -> Any:
    return lambda model: ChatKiloCode(model=model, base_url=found.base_url, api_key=found.api_key, max_retries=0)


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return f"Nothing in {where}."


def test_agent_with_a_tool(make: Any, found: Any) -> None:
    call = [{"name": "look", "arguments": {"where": "the box"}}]
    found.script(Reply.text("", reasoning="I look.", tool_calls=call), Reply.text("The box is empty."))
    result = create_deep_agent(make("vendor/seer"), tools=[look]).invoke({"messages": [HumanMessage("Look.")]})
    assert result["messages"][-1].text == "The box is empty."
    sent = found.last_request.json["messages"]
    assert sent[-1]["content"] == "Nothing in the box."
    assert sent[-2]["reasoning_details"][0]["text"] == "I look."


@pytest.mark.parametrize(("model", "sees"), [("vendor/seer", True), ("vendor/blind", False)])
def test_images_go_to_models_that_see(make: Any, found: Any, model: str, sees: bool) -> None:
    found.script(Reply.text("A cat."))
    question = HumanMessage([{"type": "text", "text": "What is it?"}, PICTURE])
    create_deep_agent(make(model)).invoke({"messages": [question]})
    kinds = [part["type"] for part in found.last_request.json["messages"][-1]["content"]]
    assert ("image_url" in kinds) is sees


def test_conversation_that_outgrows_the_model_is_summarized(make: Any, found: Any) -> None:
    found.script(Reply.text("They talked for long."), Reply.text("Well."))
    talk = [HumanMessage("A long story. " * 900) for _ in range(8)]
    result = create_deep_agent(make("vendor/seer")).invoke({"messages": [*talk, HumanMessage("Well?")]})
    assert result["messages"][-1].text == "Well."
    assert len(found.chat_requests) == 2
    assert len(found.last_request.body) < len(found.chat_requests[0].body)
