"""Agents with a schema: the way of asking is chosen by the model's profile, and the answer fills the schema."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool

from kilocode_gateway.local import Reply
from tests.lc.test_structured import DATA, SCHEMA, TEXT, Joke, JokeData, JokeDict


def _name(schema: Any) -> str:
    return schema["title"] if isinstance(schema, dict) else schema.__name__


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return f"Nothing in {where}."


async def _agent(agent: Any, way: str) -> Any:
    question: Any = {"messages": [("user", "A joke.")]}
    if way == "invoke":
        return agent.invoke(question)
    if way == "ainvoke":
        return await agent.ainvoke(question)
    last: Any = None
    async for mode, piece in agent.astream(question, stream_mode=["messages", "values"]):
        last = piece if mode == "values" else last
    return last


@pytest.mark.parametrize("schema", [Joke, JokeDict, JokeData, SCHEMA])
@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
async def test_agents_choose_the_way_by_the_profile(
    make_model: Any, gateway: Any, way: str, native: bool, version: Any, *, schema: Any
) -> None:
    model = make_model(
        model="nobody/new", profile={"structured_output": native, "tool_calling": True}, output_version=version
    )
    first = Reply.text("", tool_calls=[{"id": "l", "name": "look", "arguments": {"where": "here"}}])
    gateway.script(
        first,
        Reply.text(TEXT)
        if native
        else Reply.text("", tool_calls=[{"id": "a", "name": _name(schema), "arguments": TEXT}]),
    )
    result = await _agent(create_agent(model, [look], response_format=schema), way)
    assert result["structured_response"] == (schema(**DATA) if schema in (Joke, JokeData) else DATA)
    sent = gateway.last_request.json
    assert ("response_format" in sent) is native
    assert [item["function"]["name"] for item in sent["tools"]] == ["look", *([] if native else [_name(schema)])]
    assert all("strict" not in item["function"] for item in sent["tools"])


@pytest.mark.parametrize(("name", "native"), [("anthropic/claude-sonnet-4.6", True), ("kilo/auto", False)])
def test_agents_choose_by_the_catalog(make_model: Any, gateway: Any, name: str, native: bool) -> None:
    agent = create_agent(make_model(model=name), [look], response_format=Joke)
    gateway.script(Reply.text(TEXT) if native else Reply.text("", tool_calls=[{"name": "Joke", "arguments": TEXT}]))
    assert agent.invoke({"messages": [("user", "A joke.")]})["structured_response"] == Joke(**DATA)
    assert ("response_format" in gateway.last_request.json) is native
