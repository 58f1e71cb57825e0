"""Embeddings: what goes out, and the order of what comes back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from kilocode_gateway import ConfigurationError, MalformedReplyError, track_usage
from kilocode_gateway.local import Reply
from langchain_kilocode import KiloCodeEmbeddings


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
    assert await embed(make(chunk_size=3), texts) == whole
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


async def test_queries(make: Any) -> None:
    assert make().embed_query("a") == (await make().aembed_documents(["a"]))[0] == await make().aembed_query("a")


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
