"""What type checkers make of the LlamaIndex classes. Checked and never run."""

from __future__ import annotations

from typing import Any, assert_type

import httpx
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from kilocode_gateway import KnownModel
from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM


class City(BaseModel):
    """A city."""

    name: str


messages = [ChatMessage(role="user", content="Hello")]
prompt = PromptTemplate("Tell me of {place}.")

# Constructors.
llm = KiloCode()
KiloCode("kilo/auto")
KiloCode(model="acme/unheard-of", temperature=0.2, max_tokens=500, stop="\n", seed=7, verbosity="low")
KiloCode(timeout=(3.0, 60.0), first_token_timeout=20, total_timeout=120, max_retries=0)
KiloCode(timeout=httpx.Timeout(30), http_client=httpx.Client(), default_headers={"X-Team": "blue"})
KiloCode(api_key=lambda: "...", api_base="https://example.com", organization_id="...", feature="docs")
KiloCode(context_window=8_000, is_function_calling_model=False, additional_kwargs={"top_a": 0.5}, top_a=0.1)
KiloCode(modle="kilo/auto")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
KiloCode(model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCode("kilo/auto", "...")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
KiloCode(temperature="hot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCode(base_url="https://example.com")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
KiloCode(n=2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Model names.
known: KnownModel = "openai/gpt-5.4"
any_string: str = "acme/unheard-of"
names: list[str] = [any_string]
either: list[KnownModel | str] = [known, any_string]
KiloCode(model=known, fallback_models=["openai/gpt-5.4", "acme/unheard-of"])
KiloCode(any_string, fallback_models=names)
KiloCode(fallback_models=either)
KiloCode(fallback_models=[known])
KiloCode(fallback_models="openai/gpt-5.4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Dicts.
KiloCode(provider={"only": ["anthropic"], "zdr": True}, reasoning={"effort": "high"}, mode="plan", task_id="7")
KiloCode(provider={"oder": ["anthropic"]})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCode(reasoning={"effort": 3})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Calls.
base: LLM = llm
assert_type(llm.chat(messages), ChatResponse)
assert_type(llm.chat(messages, model="kilo-auto/free", temperature=0, extra_headers={"X-Team": "red"}), ChatResponse)
assert_type(llm.stream_chat(messages, reasoning={"effort": "low"}, timeout=5), ChatResponseGen)
assert_type(llm.complete("Hello", model="acme/unheard-of", extra_body={"x": 1}), CompletionResponse)
assert_type(llm.stream_complete("Hello", max_tokens=5), CompletionResponseGen)
llm.chat("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
llm.chat(messages, temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
llm.chat(messages, model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
llm.stream_chat(messages, api_key="...")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
llm.complete("Hello", stop=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
llm.stream_complete("Hello", provider={"oder": []})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def ask(further: dict[str, Any]) -> str:
    """Ask with settings from elsewhere, which nobody can check before it runs."""
    assert_type(await llm.achat(messages, **further), ChatResponse)
    assert_type(await llm.astream_chat(messages), ChatResponseAsyncGen)
    assert_type(await llm.astream_complete("Hello"), CompletionResponseAsyncGen)
    await llm.achat(messages, modle="kilo/auto")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await llm.astream_chat(messages, top_k="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await llm.astream_complete("Hello", messages=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(await llm.astructured_predict(City, prompt, place="Lisbon"), City)
    answer = await llm.acomplete("Hello", model="kilo/auto")
    assert_type(answer, CompletionResponse)
    return answer.text


# Objects.
assert_type(llm.structured_predict(City, prompt, {"temperature": 0}, place="Lisbon"), City)
assert_type(llm.as_structured_llm(City).chat(messages), ChatResponse)
assert_type(llm.as_structured_llm(City).complete("Lisbon"), CompletionResponse)
for piece in llm.stream_structured_predict(City, prompt, place="Lisbon"):
    if isinstance(piece, City):
        assert_type(piece.name, str)
llm.structured_predict(City, prompt).country  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
llm.structured_predict(str, prompt)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
llm.as_structured_llm("City")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Embeddings.
vectors = KiloCodeEmbedding("openai/text-embedding-3-small", dimensions=256)
KiloCodeEmbedding(model="acme/unheard-of", embed_batch_size=10, num_workers=None, additional_kwargs={"input_type": "q"})
assert_type(vectors.get_query_embedding("Hello"), list[float])
assert_type(vectors.get_text_embedding_batch(["Hello"]), list[list[float]])
vectors.get_text_embedding_batch("Hello")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCodeEmbedding(dimension=256)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
KiloCodeEmbedding(model=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Gaps.
fim = KiloCodeFIM("mistralai/codestral-2508", suffix="\n", max_tokens=64, stop=["\n\n"])
KiloCodeFIM(model="acme/unheard-of", timeout=20, first_token_timeout=5)
assert_type(fim.complete("def f():", suffix="\n", model="inception/mercury-edit-2"), CompletionResponse)
assert_type(fim.stream_complete("def f():", max_tokens=5), CompletionResponseGen)
fim.complete("def f():", suffixe="\n")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
fim.stream_complete("def f():", max_tokens="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
KiloCodeFIM(provider={"zdr": True})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
