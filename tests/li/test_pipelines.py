"""Embeddings through indexes and ingestion pipelines: order, batches, workers, lengths, and a limit between batches."""

from __future__ import annotations

import asyncio
import operator
from decimal import Decimal
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode

from kilocode_gateway import BudgetExceededError, track_usage
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCodeEmbedding

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

TEXTS = [f"The tower of Vik has {number} steps." for number in range(8)]
SYNC_AND_ASYNC = pytest.mark.parametrize("way", ["sync", "async"])
WORKERS = pytest.mark.parametrize("workers", [None, 1, 3])


@pytest.fixture
def make_embed(gateway: LocalGateway) -> Callable[..., KiloCodeEmbedding]:
    place = {"api_key": "test-key-1", "api_base": gateway.base_url}
    return lambda **settings: KiloCodeEmbedding(**{**place, "embed_batch_size": 3, **settings})


def batches(gateway: LocalGateway) -> list[list[str]]:
    return [request.json["input"] for request in gateway.requests if request.path.endswith("/embeddings")]


async def embed_all(embed: KiloCodeEmbedding, texts: list[str], way: str) -> list[list[float]]:
    return embed.get_text_embedding_batch(texts) if way == "sync" else await embed.aget_text_embedding_batch(texts)


@SYNC_AND_ASYNC
@WORKERS
async def test_an_ingestion_pipeline_keeps_the_order(
    make_embed: Any, gateway: LocalGateway, way: str, workers: int | None
) -> None:
    embed = make_embed(dimensions=64, num_workers=workers)
    pipeline = IngestionPipeline(transformations=[embed], disable_cache=True)
    nodes = [TextNode(text=text, id_=f"n{number}") for number, text in enumerate(TEXTS)]
    with track_usage() as used:
        made = pipeline.run(nodes=nodes) if way == "sync" else await pipeline.arun(nodes=nodes)
    assert [node.id_ for node in made] == [f"n{number}" for number in range(8)]
    assert [node.embedding for node in made] == [embed.get_text_embedding(text) for text in TEXTS]
    assert {len(node.embedding or []) for node in made} == {64}
    assert sorted(map(len, batches(gateway)[:3])) == [2, 3, 3]
    assert (used.total.calls, used.total.calls_without_cost) == (3, 0)
    assert used.total.input_tokens > 0
    assert used.total.cost > 0
    assert all(request.json["dimensions"] == 64 for request in gateway.requests if request.method == "POST")


@SYNC_AND_ASYNC
@WORKERS
async def test_vectors_come_in_the_order_of_the_texts_whichever_answer_is_first(
    make_embed: Any, gateway: LocalGateway, way: str, workers: int | None
) -> None:
    gateway.script(Reply.ordinary(delay=0.2), Reply.ordinary(delay=0.1), path="embeddings")
    embed = make_embed(num_workers=workers)
    vectors = await embed_all(embed, TEXTS, way)
    assert vectors == [embed.get_text_embedding(text) for text in TEXTS]


@SYNC_AND_ASYNC
async def test_a_vector_index_finds_what_is_asked_for(make_embed: Any, gateway: LocalGateway, way: str) -> None:
    embed = make_embed(dimensions=256)
    documents = [Document(text=text) for text in [*TEXTS, "The bakery in Sund closes on Wednesdays."]]
    index = VectorStoreIndex.from_documents(documents, embed_model=embed, use_async=way == "async")
    retriever = index.as_retriever(similarity_top_k=1)
    question = "On which day does the bakery in Sund close?"
    found = retriever.retrieve(question) if way == "sync" else await retriever.aretrieve(question)
    assert [node.get_content() for node in found] == ["The bakery in Sund closes on Wednesdays."]
    assert sum(map(len, batches(gateway))) == 10


@SYNC_AND_ASYNC
@WORKERS
async def test_nothing_to_embed_costs_no_request(
    make_embed: Any, gateway: LocalGateway, way: str, workers: int | None
) -> None:
    embed = make_embed(num_workers=workers)
    assert await embed_all(embed, [], way) == []
    pipeline = IngestionPipeline(transformations=[embed])
    assert (pipeline.run(documents=[]) if way == "sync" else await pipeline.arun(documents=[])) == []
    VectorStoreIndex([], embed_model=embed, storage_context=StorageContext.from_defaults())
    assert gateway.requests == []


def test_four_requests_are_under_way_at_once_unless_told_otherwise(make_embed: Any) -> None:
    assert make_embed().num_workers == 4
    assert make_embed(num_workers=None).num_workers is None
    with pytest.raises(ConfigurationError, match=r"num_workers: .*greater than 0, got 0"):
        make_embed(num_workers=0)


def _priced(count: int) -> Reply:
    usage = {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.1}
    rows = [{"index": index, "embedding": [1.0]} for index in range(count)]
    return Reply.raw(200, {"data": rows, "model": "m", "usage": usage}, {"content-type": "application/json"})


@pytest.mark.parametrize(
    ("way", "workers", "sent"), [("sync", None, 2), ("sync", 4, 2), ("async", 1, 2), ("async", 2, 3), ("async", 4, 5)]
)
async def test_a_limit_that_is_reached_between_batches_refuses_the_next(
    make_embed: Any, gateway: LocalGateway, way: str, workers: int | None, sent: int
) -> None:
    gateway.script(*[_priced(1)] * 20, path="embeddings")
    embed = make_embed(embed_batch_size=1, num_workers=workers)
    texts = [str(number) for number in range(20)]
    with track_usage(limit_usd="0.15") as used:
        with pytest.raises(BudgetExceededError, match="Nothing was sent"):
            await embed_all(embed, texts, way)
        await asyncio.sleep(0)
        with pytest.raises(BudgetExceededError):
            embed.get_text_embedding("one more")
    assert 2 <= len(batches(gateway)) <= sent, "the batch that crosses the limit, and those under way with it"
    assert used.total.cost >= Decimal("0.2")


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_worker_elsewhere_embeds_what_it_is_sent(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-here")
    given: dict[str, Any] = {"api_key": "test-key-1"} if by_hand else {}
    embed = KiloCodeEmbedding(api_base=gateway.base_url, dimensions=16, default_headers={"X-One": "1"}, **given)
    mine = embed.get_text_embedding_batch(["a", "b"])
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-there")
    with get_context("spawn").Pool(1) as pool:
        theirs = pool.apply(operator.methodcaller("get_text_embedding_batch", ["a", "b"]), (embed,))
        nodes = pool.apply(operator.methodcaller("__call__", [TextNode(text="a")]), (embed,))
    assert theirs == mine
    assert nodes[0].embedding == mine[0]
    assert gateway.last_request.authorization == f"Bearer {'test-key-1' if by_hand else 'test-key-there'}"
    assert gateway.last_request.headers["x-one"] == "1"
