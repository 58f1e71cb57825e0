"""Query engines, chat engines, routers and embeddings over the gateway: right only if retrieval worked."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.response_synthesizers import ResponseMode
from pydantic import BaseModel

from kilocode_gateway import track_usage
from kilocode_gateway.errors import (
    ConfigurationError,
    InvalidRequestError,
    MalformedReplyError,
    RateLimitError,
    UnknownSettingError,
)
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode, KiloCodeEmbedding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway

CHAT = "chat/completions"
FACTS = {
    "The lighthouse of Norrby is painted green and white.": "What colours has the lighthouse of Norrby?",
    "The ferry to Holm leaves at a quarter past seven.": "When does the ferry to Holm leave?",
    "The bakery in Sund closes on Wednesdays.": "On which day does the bakery in Sund close?",
    "The tower of Vik has two hundred and twelve steps.": "How many steps has the tower of Vik?",
}


@pytest.fixture
def embed(gateway: LocalGateway) -> KiloCodeEmbedding:
    return KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url)


@pytest.fixture
def settings(llm: KiloCode, embed: KiloCodeEmbedding) -> Iterator[None]:
    Settings.llm, Settings.embed_model = llm, embed
    yield
    Settings._llm = Settings._embed_model = None


@pytest.fixture
def index(settings: None) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text=text) for text in FACTS])


@pytest.mark.parametrize(("fact", "question"), FACTS.items())
def test_the_answer_is_right_only_if_the_right_text_was_found(
    index: VectorStoreIndex, fact: str, question: str
) -> None:
    response = index.as_query_engine(similarity_top_k=1).query(question)
    assert fact in str(response)
    assert [node.node.get_content() for node in response.source_nodes] == [fact]


MODES = [
    ResponseMode.COMPACT,
    ResponseMode.REFINE,
    ResponseMode.TREE_SUMMARIZE,
    ResponseMode.SIMPLE_SUMMARIZE,
    ResponseMode.ACCUMULATE,
    ResponseMode.COMPACT_ACCUMULATE,
]


CASES = [*((mode, False) for mode in MODES), *((mode, True) for mode in MODES if "accumulate" not in mode.value)]


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(("mode", "streaming"), CASES)
async def test_every_response_mode_answers_from_the_text_that_was_found(
    index: VectorStoreIndex, gateway: LocalGateway, mode: Any, streaming: bool, way: str
) -> None:
    engine: Any = index.as_query_engine(similarity_top_k=1, response_mode=mode, streaming=streaming)
    gateway.clear()
    for fact, question in FACTS.items():
        assert fact in await answer(engine, question, way, streaming=streaming)
    assert len(gateway.chat_requests) == len(FACTS)
    for fact, request in zip(FACTS, gateway.chat_requests, strict=True):
        assert [other for other in FACTS if other in str(request.json["messages"])] == [fact]


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(("mode", "streaming"), CASES)
async def test_no_response_mode_knows_the_answer_without_the_right_text(
    index: VectorStoreIndex, mode: Any, streaming: bool, way: str
) -> None:
    fact, question = next(iter(FACTS.items()))
    nodes = [node for node in index.docstore.docs.values() if node.get_content() != fact]
    engine: Any = VectorStoreIndex(nodes).as_query_engine(similarity_top_k=1, response_mode=mode, streaming=streaming)
    said = await answer(engine, question, way, streaming=streaming)
    assert said
    assert "green" not in said


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_modes_that_pass_no_text_to_the_model(index: VectorStoreIndex, gateway: LocalGateway, way: str) -> None:
    fact, question = next(iter(FACTS.items()))

    async def ask(mode: Any) -> tuple[str, int]:
        gateway.clear()
        engine = index.as_query_engine(similarity_top_k=1, response_mode=mode)
        return await answer(engine, question, way, streaming=False), len(gateway.chat_requests)

    assert await ask(ResponseMode.CONTEXT_ONLY) == (fact, 0)
    assert await ask(ResponseMode.NO_TEXT) == ("None", 0)  # the framework's word for no answer
    said, requests = await ask(ResponseMode.GENERATION)
    assert (requests, fact in str(gateway.chat_requests[0].json), "green" in said) == (1, False, False)


async def answer(engine: Any, question: str, way: str, *, streaming: bool) -> str:
    if way == "sync":
        return str(engine.query(question))
    response = await engine.aquery(question)
    return "".join([piece async for piece in response.async_response_gen()]) if streaming else str(response)


async def test_async_queries(index: VectorStoreIndex) -> None:
    response = await index.as_query_engine(similarity_top_k=1).aquery("When does the ferry to Holm leave?")
    assert "seven" in str(response)


def test_a_summary_index(settings: None) -> None:
    index = SummaryIndex.from_documents([Document(text=text) for text in FACTS])
    assert "Wednesdays" in str(index.as_query_engine().query("On which day does the bakery in Sund close?"))


class Answer(BaseModel):
    """An answer."""

    text: str


@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.TREE_SUMMARIZE])
def test_objects_from_query_engines(index: VectorStoreIndex, gateway: LocalGateway, mode: Any) -> None:
    call = {"id": "c1", "name": "Answer", "arguments": '{"text": "At seven."}'}
    gateway.script(*[Reply.text("", tool_calls=[call])] * 2, path=CHAT)
    engine = index.as_query_engine(output_cls=Answer, response_mode=mode, similarity_top_k=1)
    response = engine.query("When does the ferry to Holm leave?")
    assert response.response == Answer(text="At seven.")


@pytest.mark.parametrize("mode", ["simple", "context", "condense_question", "condense_plus_context", "best"])
@pytest.mark.parametrize("streaming", [False, True])
def test_chat_engines(
    index: VectorStoreIndex, gateway: LocalGateway, llm: KiloCode, mode: Any, streaming: bool
) -> None:
    engine = index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=1) if mode != "simple" else _simple(llm)
    for question in ("When does the ferry to Holm leave?", "When does the ferry to Holm leave, again?"):
        answer = "".join(engine.stream_chat(question).response_gen) if streaming else str(engine.chat(question))
        assert answer
        if mode != "simple":
            assert "seven" in answer
    assert len(engine.chat_history) == 4


def _simple(llm: KiloCode) -> Any:
    from llama_index.core.chat_engine import SimpleChatEngine

    return SimpleChatEngine.from_defaults(llm=llm)


def test_router(index: VectorStoreIndex, gateway: LocalGateway) -> None:
    from llama_index.core.query_engine import RouterQueryEngine
    from llama_index.core.tools import QueryEngineTool

    engine = index.as_query_engine(similarity_top_k=1)
    tools = [
        QueryEngineTool.from_defaults(engine, name="other", description="About the weather."),
        QueryEngineTool.from_defaults(engine, name="places", description="About ferries and towers."),
    ]
    choice = {"id": "c1", "name": "SingleSelection", "arguments": '{"index": 1, "reason": "ferry"}'}
    gateway.script(Reply.text("", tool_calls=[choice]), Reply.text("At a quarter past seven."), path=CHAT)
    response = RouterQueryEngine.from_defaults(tools).query("When does the ferry to Holm leave?")
    assert str(response) == "At a quarter past seven."
    assert response.metadata["selector_result"].selections[0].index in (0, 1)


def test_sub_questions(index: VectorStoreIndex, gateway: LocalGateway, llm: KiloCode) -> None:
    from llama_index.core.query_engine import SubQuestionQueryEngine
    from llama_index.core.question_gen import LLMQuestionGenerator
    from llama_index.core.tools import QueryEngineTool

    tool = QueryEngineTool.from_defaults(index.as_query_engine(), name="places", description="About places.")
    question = {"sub_question": "When does the ferry to Holm leave?", "tool_name": "places"}
    gateway.script(
        Reply.text(f'```json\n{{"items": [{str(question).replace(chr(39), chr(34))}]}}\n```'),
        Reply.text("At a quarter past seven."),
        Reply.text("It leaves at a quarter past seven."),
        path=CHAT,
    )
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=[tool],
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        llm=llm,
        use_async=False,
    )
    assert str(engine.query("When does it leave?")) == "It leaves at a quarter past seven."


# Embeddings


async def test_vectors_are_near_where_texts_are(embed: KiloCodeEmbedding) -> None:
    cat, dog, tax = await embed.aget_text_embedding_batch(["the cat sat", "the cat sleeps", "income tax law"])
    assert embed.similarity(cat, dog) > embed.similarity(cat, tax)
    assert embed.get_query_embedding("the cat sat") == cat == await embed.aget_query_embedding("the cat sat")
    assert embed.get_text_embedding("the cat sat") == await embed.aget_text_embedding("the cat sat")
    assert all(isinstance(number, float) for number in cat)


def reply(rows: list[dict[str, Any]]) -> Reply:
    body = {"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.5}}
    return Reply.raw(200, body, {"content-type": "application/json"})


def test_the_order_is_that_of_the_index(embed: KiloCodeEmbedding, gateway: LocalGateway) -> None:
    gateway.script(
        reply([{"index": 2, "embedding": [3.0]}, {"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}])
    )
    assert embed.get_text_embedding_batch(["a", "b", "c"]) == [[1.0], [2.0], [3.0]]


def test_base64_is_read_although_floats_were_asked_for(embed: KiloCodeEmbedding, gateway: LocalGateway) -> None:
    gateway.script(reply([{"index": 0, "embedding": base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()}]))
    assert embed.get_text_embedding("a") == [0.5, -2.0]


@pytest.mark.parametrize(
    "rows",
    [[], [{"index": 0, "embedding": [1.0]}], [{"index": 0, "embedding": [1.0]}] * 2, [{"index": 0}, {"index": 1}]],
)
def test_a_vector_that_is_missing_is_an_error(embed: KiloCodeEmbedding, gateway: LocalGateway, rows: Any) -> None:
    gateway.script(*[reply(rows)] * 3)
    with pytest.raises(MalformedReplyError, match="vectors that can be used"):
        embed.get_text_embedding_batch(["a", "b"])


async def test_batches(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway()
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url, embed_batch_size=3)
    texts = [f"text {number}" for number in range(8)]
    vectors = embed.get_text_embedding_batch(texts)
    assert [len(request.json["input"]) for request in gateway.requests] == [3, 3, 2]
    assert vectors == await embed.aget_text_embedding_batch(texts)
    assert vectors[7] == embed.get_text_embedding("text 7")
    assert embed.get_text_embedding_batch([]) == []


async def test_embedding_settings_errors_and_usage(gateway: LocalGateway, embed: KiloCodeEmbedding) -> None:
    chosen = KiloCodeEmbedding(
        "openai/text-embedding-3-large",
        api_key="test-key-1",
        api_base=gateway.base_url,
        dimensions=16,
        additional_kwargs={"input_type": "query"},
    )
    assert len(chosen.get_query_embedding("a")) == 16
    sent = gateway.last_request.json
    assert (sent["model"], sent["dimensions"], sent["input_type"]) == ("openai/text-embedding-3-large", 16, "query")
    for name, meant in (("modelname", "model_name"), ("dimension", "dimensions"), ("base_url", "api_base")):
        with pytest.raises(UnknownSettingError, match=meant):
            KiloCodeEmbedding(**{name: "x"})
    gateway.script(reply([{"index": 0, "embedding": [1.0]}]))
    with track_usage() as used:
        embed.get_text_embedding("a")
    assert (used.total.input_tokens, float(used.total.cost)) == (3, 0.5)
    gateway.clear()
    gateway.script(*[Reply.raw(429, {"error": "x", "error_type": "rate_limit_exceeded"}, {"retry-after-ms": "1"})] * 3)
    with pytest.raises(RateLimitError):
        await embed.aget_text_embedding("a")
    assert len(gateway.requests) == 3
    gateway.script(Reply.raw(400, {"error": {"message": "dimensions", "param": "dimensions"}}, {}))
    with pytest.raises(InvalidRequestError):
        embed.get_text_embedding("b")


@pytest.mark.parametrize("settings", [{"dimensions": 512}, {"additional_kwargs": {"dimensions": 512}}])
async def test_a_length_that_the_model_cannot_give_is_refused(gateway: LocalGateway, settings: Any) -> None:
    embed = KiloCodeEmbedding(
        "text-embedding-ada-002", api_key="test-key-1", api_base=gateway.base_url, embed_batch_size=1, **settings
    )
    for texts in (["a"], ["a", "b"]):
        with pytest.raises(ConfigurationError, match="'openai/text-embedding-ada-002' always gives 1536 numbers"):
            embed.get_text_embedding_batch(texts)
        with pytest.raises(ConfigurationError, match="Leave dimensions out, or choose another model"):
            await embed.aget_text_embedding_batch(texts)
    assert [request.path for request in gateway.requests] == ["/api/gateway/embedding-models"]


@pytest.mark.parametrize("model", ["text-embedding-3-small", "kilocode/openai/text-embedding-3-small"])
async def test_short_names_of_embedding_models_go_out_in_full(gateway: LocalGateway, model: str) -> None:
    embed = KiloCodeEmbedding(model, api_key="test-key-1", api_base=gateway.base_url)
    assert embed.get_query_embedding("a") == await embed.aget_query_embedding("a")
    assert {request.json["model"] for request in gateway.requests} == {"openai/text-embedding-3-small"}


def test_embedding_copies_and_dicts(embed: KiloCodeEmbedding, gateway: LocalGateway) -> None:
    import copy
    import pickle

    vector = embed.get_text_embedding("a")
    for twin in (
        copy.deepcopy(embed),
        embed.model_copy(),
        pickle.loads(pickle.dumps(embed)),
        KiloCodeEmbedding.from_dict(embed.to_dict(), api_key="test-key-1"),
    ):
        assert twin.get_text_embedding("a") == vector
        assert gateway.last_request.authorization == "Bearer test-key-1"
    assert embed.class_name() == embed.to_dict()["class_name"] == "KiloCodeEmbedding"
    assert KiloCodeEmbedding().model_name == "openai/text-embedding-3-small"
