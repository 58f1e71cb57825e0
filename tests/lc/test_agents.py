"""Agents: LangChain's and LangGraph's loops over the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

from kilocode_gateway.local import Reply

DETAILS = [
    {"type": "reasoning.text", "text": "I look.", "signature": "c2lnbmVk", "format": "anthropic-claude-v1", "index": 0}
]


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}."


class Weather(BaseModel):
    """The weather."""

    city: str
    sky: str


def _call(name: str, arguments: dict[str, Any]) -> Reply:
    calls = [{"id": "call_1", "name": name, "arguments": json.dumps(arguments)}]
    return Reply.text("", reasoning="I look.", reasoning_details=DETAILS, tool_calls=calls)


QUESTION = {"messages": [HumanMessage("What is the weather in Paris?")]}


async def _run(agent: Any, way: str, question: Any = QUESTION, **config: Any) -> Any:
    if way == "invoke":
        return agent.invoke(question, **config)
    if way == "ainvoke":
        return await agent.ainvoke(question, **config)
    last: Any = None
    if way == "stream":
        return list(agent.stream(question, stream_mode="values", **config))[-1]
    async for mode, piece in agent.astream(question, stream_mode=["messages", "values"], **config):
        last = piece if mode == "values" else last
    return last


WAYS = ["invoke", "ainvoke", "stream", "astream"]


@pytest.mark.parametrize("way", WAYS)
async def test_agent_with_a_tool(model: Any, gateway: Any, way: str) -> None:
    gateway.script(_call("get_weather", {"city": "Paris"}), Reply.text("It is sunny in Paris."))
    result = await _run(create_agent(model, [get_weather]), way)
    assert result["messages"][-1].text == "It is sunny in Paris."
    sent = gateway.last_request.json["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["reasoning_details"] == DETAILS
    assert sent[2]["content"] == "Sunny in Paris."


@pytest.mark.parametrize("way", WAYS)
async def test_agent_with_response_format(model: Any, gateway: Any, way: str) -> None:
    gateway.script(_call("Weather", {"city": "Paris", "sky": "sunny"}))
    result = await _run(create_agent(model, [get_weather], response_format=ToolStrategy(Weather)), way)
    assert result["structured_response"] == Weather(city="Paris", sky="sunny")


@pytest.mark.parametrize("way", WAYS)
async def test_agent_with_the_providers_own_response_format(model: Any, gateway: Any, way: str) -> None:
    text = Reply.text(json.dumps({"city": "Paris", "sky": "sunny"}))
    gateway.script(_call("get_weather", {"city": "Paris"}), text)
    result = await _run(create_agent(model, [get_weather], response_format=ProviderStrategy(Weather)), way)
    assert result["structured_response"] == Weather(city="Paris", sky="sunny")
    sent = gateway.last_request.json
    assert "strict" not in sent["tools"][0]["function"]
    assert sent["response_format"]["json_schema"]["name"] == "Weather"


@pytest.mark.parametrize("way", WAYS)
async def test_graph_with_checkpoints(model: Any, gateway: Any, way: str) -> None:
    bound = model.bind_tools([get_weather])
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([get_weather]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    agent = graph.compile(checkpointer=InMemorySaver())
    config = {"config": {"configurable": {"thread_id": "1"}}}
    gateway.script(_call("get_weather", {"city": "Paris"}), Reply.text("It is sunny."), Reply.text("You are welcome."))
    result = await _run(agent, way, **config)
    assert result["messages"][-1].text == "It is sunny."
    result = await _run(agent, way, {"messages": [HumanMessage("Thank you.")]}, **config)
    assert result["messages"][-1].text == "You are welcome."
    assert gateway.last_request.json["messages"][1]["reasoning_details"] == DETAILS
