"""Embeddings: what goes out, and the order of what comes back."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from typing import Any

import httpx
import pytest

from kilocode_gateway import (
    BudgetExceededError,
    ConfigurationError,
    InvalidRequestError,
    MalformedReplyError,
    ModelNotFoundError,
    UnknownSettingError,
    track_usage,
)
from kilocode_gateway.local import Reply
from langchain_kilocode import KiloCodeEmbeddings
from tests.core.helpers import soon


@pytest.fixture
def make(gateway: Any) -> Any:
    def make_one(**settings: Any) -> KiloCodeEmbeddings:
        return KiloCodeEmbeddings(
            **{"base_url": gateway.base_url, "api_key": gateway.api_key, "max_retries": 0, **settings}
        )

    return make_one


async def _sync(embeddings: Any, texts: list[str]) -> Any:
    return embeddings.embed_documents(texts)


async def _async(embeddings: Any, texts: list[str]) -> Any:
    return await embeddings.aembed_documents(texts)


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def embed(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_texts_go_out_as_they_are(embed: Any, make: Any, gateway: Any) -> None:
    await embed(make(), ["One.", "Zwei ü."])
    assert gateway.last_request.path == "/api/gateway/embeddings"
    assert gateway.last_request.authorization == f"Bearer {gateway.api_key}"
    assert gateway.last_request.json == {
        "model": "openai/text-embedding-3-small",
        "input": ["One.", "Zwei ü."],
        "encoding_format": "float",
    }


async def test_settings(embed: Any, make: Any, gateway: Any) -> None:
    model = make(
        model="kilocode/openai/text-embedding-3-large",
        dimensions=8,
        provider={"zdr": True},
        extra_body={"input_type": "query"},
    )
    assert [len(vector) for vector in await embed(model, ["a", "b"])] == [8, 8]
    sent = gateway.last_request.json
    assert (sent["model"], sent["dimensions"], sent["provider"], sent["input_type"]) == (
        "openai/text-embedding-3-large",
        8,
        {"zdr": True},
        "query",
    )


async def test_batches_keep_the_order(embed: Any, make: Any, gateway: Any) -> None:
    texts = [f"Text number {number}" for number in range(7)]
    whole = await embed(make(), texts)
    gateway.clear()
    assert await embed(make(chunk_size=3, max_concurrency=1), texts) == whole
    assert [len(request.json["input"]) for request in gateway.requests] == [3, 3, 1]
    assert await embed(make(batch_size=7), texts) == whole


async def test_order_follows_the_index(embed: Any, make: Any, gateway: Any) -> None:
    rows = [{"object": "embedding", "index": index, "embedding": [float(index)]} for index in (2, 0, 1)]
    gateway.script(Reply.raw(200, {"object": "list", "data": rows, "model": "m"}))
    assert await embed(make(), ["a", "b", "c"]) == [[0.0], [1.0], [2.0]]


async def test_nothing_to_embed(embed: Any, make: Any, gateway: Any) -> None:
    assert await embed(make(), []) == []
    assert gateway.requests == []


@pytest.mark.parametrize(
    "data", [None, [], [{"index": 0, "embedding": "QUJD"}], [{"index": 1, "embedding": [1.0]}], ["x"]]
)
async def test_wrong_answer(embed: Any, make: Any, gateway: Any, data: Any) -> None:
    gateway.script(Reply.raw(200, {"object": "list", "data": data, "model": "m"}))
    with pytest.raises(MalformedReplyError, match="vectors that can be used for 1 texts"):
        await embed(make(), ["a"])


async def test_usage_is_counted(embed: Any, make: Any) -> None:
    with track_usage() as used:
        await embed(make(), ["a b c"])
    assert used.total.input_tokens > 0


TEXTS = [f"Text number {number}" for number in range(12)]


def embeddings_requests(gateway: Any) -> list[Any]:
    return [request for request in list(gateway.requests) if request.path.endswith("/embeddings")]


@pytest.mark.parametrize("at_once", [1, 3, 50])
async def test_batches_go_out_several_at_once_and_keep_the_order(
    embed: Any, make: Any, gateway: Any, at_once: int
) -> None:
    whole = await embed(make(), TEXTS)
    before = gateway.connections
    two = threading.Barrier(min(at_once, 2))
    gateway.on_request = lambda _request, _status: two.wait(60)
    with httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            model = make(chunk_size=2, max_concurrency=at_once, http_client=client, http_async_client=async_client)
            assert await embed(model, TEXTS) == whole
    assert min(at_once, 2) <= gateway.connections - before <= min(at_once, 6)
    sent = embeddings_requests(gateway)[1:]
    assert sorted(text for request in sent for text in request.json["input"]) == sorted(TEXTS)
    assert len(sent) == 6


async def test_first_error_is_raised_and_no_further_batch_is_begun(embed: Any, make: Any, gateway: Any) -> None:
    refused = Reply.raw(400, {"error": "Invalid request"}, delay=0.1)
    gateway.script(refused, *[Reply.ordinary(delay=0.5)] * 11, path="embeddings")
    with pytest.raises(InvalidRequestError, match="Invalid request"):
        await embed(make(chunk_size=1, max_concurrency=2), TEXTS)
    # Two are under way; on a machine that stands still, the other is answered before the error is seen.
    assert len(gateway.requests) <= 4
    gateway.clear()
    assert await embed(make(), ["a"])


async def test_cancelled_call_sends_no_further_batch(make: Any, gateway: Any) -> None:
    gateway.script(*[Reply.ordinary(delay=60.0)] * 12, path="embeddings")
    task = asyncio.create_task(make(chunk_size=1, max_concurrency=2).aembed_documents(TEXTS))
    assert await soon(lambda: len(gateway.requests) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await soon(lambda: len(gateway.disconnects) == 2)
    assert len(gateway.requests) == 2


async def test_budget_stops_the_next_batches(embed: Any, make: Any, gateway: Any) -> None:
    gateway.script(*[Reply.ordinary(delay=0.2)] * 2, path="embeddings")
    with track_usage(limit_usd="0.000000001") as used, pytest.raises(BudgetExceededError, match="is used up"):
        await embed(make(chunk_size=1, max_concurrency=2), TEXTS)
    assert len(gateway.requests) <= 2
    assert used.total.calls in (1, 2)


async def test_each_batch_is_counted_in_the_block_that_asked(embed: Any, make: Any) -> None:
    begun, over = threading.Event(), threading.Event()
    others: list[int] = []

    def elsewhere() -> None:
        with track_usage() as theirs:
            begun.set()
            over.wait(60)
            others.append(theirs.total.calls)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert begun.wait(60)
    with track_usage() as one_by_one:
        await embed(make(chunk_size=1, max_concurrency=1), TEXTS)
    with track_usage() as used:
        await embed(make(chunk_size=1, max_concurrency=5), TEXTS)
    over.set()
    thread.join()
    assert used.total == one_by_one.total
    assert (used.total.calls, used.total.calls_without_cost, others) == (12, 0, [0])
    assert used.total.cost > 0


@pytest.mark.parametrize("setting", ["chunk_size", "max_concurrency"])
def test_no_batch_at_all_is_refused(make: Any, setting: str) -> None:
    with pytest.raises(ConfigurationError, match="greater than or equal to 1"):
        make(**{setting: 0})


@pytest.mark.parametrize("settings", [{"dimensions": 512}, {"extra_body": {"dimensions": 512}}])
async def test_length_that_the_model_cannot_give_is_refused(embed: Any, make: Any, gateway: Any, settings: Any) -> None:
    model = make(model="openai/text-embedding-ada-002", **settings)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="'openai/text-embedding-ada-002' always gives 1536 numbers"):
            await embed(model, ["a"])
    assert [request.path for request in gateway.requests] == ["/api/gateway/embedding-models"]


@pytest.mark.parametrize(("model", "most"), [("openai/text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)])
async def test_lengths_up_to_the_models_own_are_sent(
    embed: Any, make: Any, gateway: Any, model: str, most: int
) -> None:
    for dimensions in (1, most):
        assert [len(vector) for vector in await embed(make(model=model, dimensions=dimensions), ["a"])] == [dimensions]
    with pytest.raises(ConfigurationError, match=f"gives at most {most} numbers.*Set dimensions to 1 to {most}"):
        await embed(make(model=model, dimensions=most + 1), ["a"])
    assert len(gateway.requests) == 3


@pytest.mark.parametrize("wrong", [0, -5])
def test_length_that_is_none_is_refused_in_the_constructor(make: Any, wrong: int) -> None:
    with pytest.raises(ConfigurationError, match="dimensions must be a whole number from 1"):
        make(dimensions=wrong)


async def test_length_of_a_model_that_is_not_listed_is_left_to_the_gateway(embed: Any, make: Any, gateway: Any) -> None:
    with pytest.raises(ModelNotFoundError):
        await embed(make(model="nobody/knows-it", dimensions=99_999), ["a"])
    assert embeddings_requests(gateway)[0].json["dimensions"] == 99_999


async def test_list_that_cannot_be_had_stops_nothing(
    embed: Any, make: Any, gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script(Reply.raw(500, {"error": "no"}), path="embedding-models")
    assert len((await embed(make(dimensions=8), ["a"]))[0]) == 8
    with pytest.raises(ConfigurationError, match="gives at most 1536"):
        await embed(make(dimensions=2000), ["a"])
    assert len(embeddings_requests(gateway)) == 1
    assert "The embedding models of" in caplog.text


async def test_list_is_fetched_with_the_client_that_was_handed_in(embed: Any, make: Any, gateway: Any) -> None:
    agent = {"user-agent": "their-own/1.0"}
    with httpx.Client(headers=agent) as client:
        async with httpx.AsyncClient(headers=agent) as async_client:
            await embed(make(dimensions=8, http_client=client, http_async_client=async_client), ["a"])
    assert [request.path.rpartition("/")[2] for request in gateway.requests] == ["embedding-models", "embeddings"]
    assert {request.headers["user-agent"] for request in gateway.requests} == {"their-own/1.0"}


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("text-embedding-3-small", "openai/text-embedding-3-small"),
        ("kilocode/text-embedding-ada-002", "openai/text-embedding-ada-002"),
        ("kilo/baai/bge-m3", "baai/bge-m3"),
    ],
)
async def test_short_names_go_out_in_full(embed: Any, make: Any, gateway: Any, model: str, sent: str) -> None:
    await embed(make(model=model), ["a"])
    assert [request.json["model"] for request in gateway.requests] == [sent]


async def test_queries(make: Any) -> None:
    assert make().embed_query("a") == (await make().aembed_documents(["a"]))[0] == await make().aembed_query("a")


def test_copy_and_assignment_take_either_name_and_no_other(make: Any) -> None:
    model = make().model_copy(update={"timeout": 5, "batch_size": 3})
    assert (model.request_timeout, model.chunk_size) == (5, 3)
    model.timeout = 6
    assert model.request_timeout == 6
    with pytest.raises(UnknownSettingError, match=r"'dimension'. Did you mean 'dimensions'"):
        model.model_copy(update={"dimension": 3})


@pytest.mark.parametrize("again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy])
def test_copies(make: Any, again: Any) -> None:
    model = make(dimensions=4)
    assert again(model) == model
    assert again(model).embed_query("a") == model.embed_query("a")


@pytest.mark.parametrize(
    ("texts", "got"),
    [
        ("text", "got str"),
        (b"text", "got bytes"),
        (5, "got int"),
        (None, "got None"),
        ({"a": 1}, "got dict"),
        ([1, 2], "got int at position 0"),
        (["One.", None], "got None at position 1"),
    ],
)
async def test_what_is_no_list_of_texts_is_refused(embed: Any, make: Any, gateway: Any, texts: Any, got: str) -> None:
    with pytest.raises(ConfigurationError, match=f"a list of strings.*{got}"):
        await embed(make(), texts)
    assert gateway.requests == []


async def test_query_that_is_no_text_is_refused(make: Any, gateway: Any) -> None:
    for wrong in (5, None, ["text"]):
        with pytest.raises(ConfigurationError, match="embed_query expects a string, got"):
            make().embed_query(wrong)
        with pytest.raises(ConfigurationError, match="embed_query expects a string, got"):
            await make().aembed_query(wrong)
    assert gateway.requests == []


async def test_tuple_of_texts(embed: Any, make: Any, gateway: Any) -> None:
    assert len(await embed(make(), ("One.", "Two."))) == 2
    assert gateway.last_request.json["input"] == ["One.", "Two."]


@pytest.mark.parametrize("name", ["default_query", "context_size", "functions"])
def test_name_that_resembles_nothing_gets_no_hint(make: Any, name: str) -> None:
    with pytest.raises(UnknownSettingError) as caught:
        make(**{name: 1})
    assert "Did you mean" not in str(caught.value)
