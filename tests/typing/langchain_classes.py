"""What type checkers make of the LangChain classes. Checked and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import httpx
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretStr

from kilocode_gateway import KnownModel
from langchain_kilocode import (
    ChatKiloCode,
    KiloCodeEmbeddings,
    KiloCodeFIM,
    ProviderRouting,
    Reasoning,
    StructuredOutputError,
)


class City(BaseModel):
    """A city."""

    name: str


@dataclass
class Place:
    """A place."""

    name: str


class Row(TypedDict):
    """A row."""

    name: str


# Constructors, under both names of a field.
model = ChatKiloCode()
ChatKiloCode(model="kilo/auto")
ChatKiloCode(model="acme/unheard-of", temperature=0.2, max_tokens=500, stop=["\n"], seed=7)
ChatKiloCode(model_name="kilo/auto", request_timeout=20, stop_sequences="\n", streaming=True)
ChatKiloCode(timeout=(3.0, 60.0), first_token_timeout=20, total_timeout=120, max_retries=0)
ChatKiloCode(timeout=httpx.Timeout(30), http_client=httpx.Client(), default_headers={"X-Team": "blue"})
ChatKiloCode(api_key="...", base_url="https://example.com", organization_id="...", feature="docs")
ChatKiloCode(api_key=SecretStr("..."), tags=["a"], metadata={"b": 1}, cache=False, name="c")
ChatKiloCode(api_key=lambda: "...", include_reasoning=True, parallel_tool_calls=False, extra_body={"x": 1})
ChatKiloCode("kilo/auto")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatKiloCode(modle="kilo/auto")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatKiloCode(model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(max_tokens=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(openai_api_key="...")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatKiloCode(use_responses_api=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ChatKiloCode(api_base="https://example.com")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# A class of the user's own has its own settings.
class Mine(ChatKiloCode):
    """A chat model with a mood."""

    mood: str = "calm"


assert_type(Mine(model="kilo/auto", mood="brisk").mood, str)

# Model names.
known: KnownModel = "openai/gpt-5.4"
any_string: str = "acme/unheard-of"
names: list[str] = [any_string]
either: list[KnownModel | str] = [known, any_string]
ChatKiloCode(model=known, fallback_models=["openai/gpt-5.4", "acme/unheard-of"])
ChatKiloCode(model=any_string, fallback_models=names)
ChatKiloCode(fallback_models=either)
ChatKiloCode(fallback_models=[known])
ChatKiloCode(fallback_models="openai/gpt-5.4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(fallback_models=[5])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Dicts.
routing: ProviderRouting = {"order": ["anthropic"], "data_collection": "deny", "zdr": True}
thinking: Reasoning = {"effort": "high", "exclude": False}
ChatKiloCode(provider=routing, reasoning=thinking, verbosity="low", mode="plan", task_id="7")
ChatKiloCode(provider={"only": ["anthropic"]}, reasoning={"max_tokens": 2000}, mode="dreaming")
ChatKiloCode(provider={"oder": ["anthropic"]})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(provider={"only": "anthropic"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(reasoning={"effort": 3})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ChatKiloCode(reasoning="high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Calls.
base: BaseChatModel = model
assert_type(model.invoke("Hello"), AIMessage)
assert_type(model.invoke([HumanMessage("Hello")], {"tags": ["a"]}, stop=["\n"]), AIMessage)
assert_type(model.invoke("Hello", model="kilo-auto/free", temperature=0, max_tokens=None, n=2), AIMessage)
assert_type(model.invoke("Hello", provider={"sort": "price"}, tools=[City], tool_choice=True), AIMessage)
assert_type(model.stream("Hello", model="acme/unheard-of", stream_usage=False), Iterator[AIMessageChunk])
assert_type(model.astream("Hello", reasoning={"effort": "low"}), AsyncIterator[AIMessageChunk])
assert_type(model.batch(["Hello"]), list[AIMessage])
model.invoke("Hello", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
model.invoke("Hello", model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
model.invoke("Hello", api_key="...")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
model.stream("Hello", provider={"oder": []})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
model.astream("Hello", top_k="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def ask(further: dict[str, Any]) -> str:
    """Ask with settings from elsewhere, which nobody can check before it runs."""
    answer = await model.ainvoke("Hello", **further)
    assert_type(answer, AIMessage)
    await model.ainvoke("Hello", modle="kilo/auto")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    async for chunk in model.astream("Hello"):
        assert_type(chunk, AIMessageChunk)
    return answer.text


# Tools and schemas.
def weather(city: str) -> str:
    """Tell the weather."""
    return city


with_tools = model.bind_tools([weather, City, {"type": "openrouter:web_search"}], tool_choice="any", temperature=0)
assert_type(with_tools, Runnable[LanguageModelInput, AIMessage])
assert_type(with_tools.invoke("Hello"), AIMessage)
model.bind_tools(weather)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
model.bind_tools([weather], tool_choise="any")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
assert_type(model.bind(temperature=0, metadata={"ticket": "42"}, stop="\n").invoke("Hello"), AIMessage)
model.bind(temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

assert_type(model.with_structured_output(City).invoke("Tell me of Lisbon."), City)
assert_type(model.with_structured_output(Place, method="json_schema", strict=True).invoke("..."), Place)
assert_type(model.with_structured_output(Row, model="openai/gpt-5.4").invoke("..."), Row)
assert_type(model.with_structured_output(City, tools=[weather]).invoke("..."), City | None)
assert_type(model.with_structured_output(City, include_raw=True).invoke("..."), dict[str, Any])
model.with_structured_output({"title": "City", "type": "object"}, parallel_tool_calls=False).invoke("...")
model.with_structured_output(method="json_mode").invoke("...")
model.with_structured_output(City).invoke("...").country  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
model.with_structured_output(City, method="guess")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
model.with_structured_output("City")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]

try:
    model.invoke("Hello")
except StructuredOutputError as error:
    assert_type(error.text, str)

# Embeddings.
vectors = KiloCodeEmbeddings(model="openai/text-embedding-3-small", dimensions=256)
KiloCodeEmbeddings(model="acme/unheard-of", chunk_size=10, timeout=20, provider={"zdr": True})
KiloCodeEmbeddings(batch_size=10, request_timeout=20, max_concurrency=8, extra_body={"input_type": "query"})
assert_type(vectors.embed_query("Hello"), list[float])
assert_type(vectors.embed_documents(["Hello"]), list[list[float]])
vectors.embed_documents("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCodeEmbeddings(dimension=256)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
KiloCodeEmbeddings(dimensions="256")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Gaps.
fim = KiloCodeFIM(model="mistralai/codestral-2508", suffix="\n", max_tokens=64, stop="\n\n", tags=["a"])
KiloCodeFIM(model="acme/unheard-of", request_timeout=20, first_token_timeout=5)
assert_type(fim.invoke("def f():", suffix="\n", stop=["\n"], model="inception/mercury-edit-2"), str)
assert_type(fim.stream("def f():", max_tokens=5), Iterator[str])
assert_type(fim.astream("def f():", total_timeout=5), AsyncIterator[str])
fim.invoke("def f():", suffixe="\n")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
fim.stream("def f():", max_tokens="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCodeFIM(provider={"zdr": True})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
KiloCodeFIM(min_tokens="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
