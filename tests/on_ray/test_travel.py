"""What goes to Ray's workers works there as here, and the key from the environment does not go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import ray
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings
from llama_index_kilocode import KiloCode, KiloCodeEmbedding
from tests.canaries import forms
from tests.on_ray.conftest import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilocode_gateway.local import LocalGateway

SETTINGS: dict[str, Any] = {"model": "openai/gpt-5.4", "temperature": 0.5, "provider": {"sort": "price"}}
WEATHER = "What is the weather in Paris?"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


def lc(gateway: LocalGateway) -> dict[str, Callable[[], Any]]:
    model = ChatKiloCode(base_url=gateway.base_url, **SETTINGS)
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | model | StrOutputParser()
    bound = model.bind_tools([get_weather])
    structured = model.with_structured_output(Person)
    embeddings = KiloCodeEmbeddings(base_url=gateway.base_url, dimensions=8)
    return {
        "a closure": lambda: model.invoke("Say 1.").text,
        "a chain": lambda: chain.invoke({"question": "Say 2."}),
        "a generator": lambda: [piece.text for piece in model.stream("Say 3.")],
        "bound tools": lambda: [call["args"] for call in bound.invoke(WEATHER).tool_calls],
        "structured output": lambda: structured.invoke("Anna is 36.").model_dump(),
        "embeddings": lambda: embeddings.embed_documents(["one", "two"]),
    }


def li(gateway: LocalGateway) -> dict[str, Callable[[], Any]]:
    llm = KiloCode(api_base=gateway.base_url, **SETTINGS)
    structured = llm.as_structured_llm(Person)
    embedding = KiloCodeEmbedding(api_base=gateway.base_url, dimensions=8)
    return {
        "a closure": lambda: llm.complete("Say 1.").text,
        "a chat": lambda: llm.chat([ChatMessage("Say 2.")]).message.content,
        "a generator": lambda: [piece.delta for piece in llm.stream_complete("Say 3.")],
        "a prompt": lambda: llm.predict(PromptTemplate("Say {number}."), number=4),
        "structured output": lambda: structured.complete("Anna is 36.").text,
        "embeddings": lambda: embedding.get_text_embedding_batch(["one", "two"]),
    }


def posted(gateway: LocalGateway) -> list[tuple[str | None, Any]]:
    """Give key and body of each question; the list of models is asked for without a key."""
    return [(request.key, request.json) for request in gateway.requests if request.method == "POST"]


@pytest.mark.parametrize("things", [lc, li], ids=["LangChain", "LlamaIndex"])
def test_what_runs_here_runs_in_a_worker_with_the_key_that_is_there(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, things: Callable[[LocalGateway], dict[str, Any]]
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "key-of-the-driver")
    elsewhere = ray.remote(lambda thing: thing())
    for name, thing in things(gateway).items():
        gateway.clear()
        here = thing()
        asked = posted(gateway)
        assert {key for key, _ in asked} == {"key-of-the-driver"}, name
        gateway.clear()
        assert b"key-of-the-driver" not in ray.cloudpickle.dumps(thing)
        assert ray.get(elsewhere.remote(thing)) == here, name
        assert posted(gateway) == [(KEY, body) for _, body in asked], name


def test_the_key_shows_nowhere_in_what_ray_keeps(cluster: Path, gateway: LocalGateway) -> None:
    model = ChatKiloCode(base_url=gateway.base_url)
    assert ray.get(ray.remote(lambda: model.invoke("Say 1.").text).remote())
    assert gateway.last_request.key == KEY
    files = [path for path in cluster.rglob("*") if path.is_file() and "logs" in path.parts]
    assert len(files) > 5
    hidden = {form.encode() for form in forms(KEY)}
    assert [path.name for path in files if any(form in path.read_bytes() for form in hidden)] == []
    assert KEY not in str(ray.get_runtime_context().runtime_env)
