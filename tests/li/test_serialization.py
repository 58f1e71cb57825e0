"""Dicts and JSON of our classes: every setting there and back, no key, and LlamaIndex's own loaders."""

from __future__ import annotations

import importlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.embeddings import loading as embedding_loading
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.llms import MockLLM
from llama_index.core.llms import loading as llm_loading
from llama_index.core.llms.loading import load_llm

from kilocode_gateway.errors import ConfigurationError
from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM, register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilocode_gateway.local import LocalGateway

KEY = "test-key-1"
LOADERS = {KiloCode: load_llm, KiloCodeFIM: load_llm, KiloCodeEmbedding: load_embed_model}
SETTINGS: dict[type, dict[str, Any]] = {
    KiloCode: {
        "model": "openai/gpt-5.4",
        "temperature": 0.5,
        "provider": {"sort": "price"},
        "timeout": (5, 60),
        "stop": ["x"],
        "fallback_models": ["kilo/auto"],
        "check_inputs": False,
        "organization_id": "org-1",
        "parallel_tool_calls": True,
    },
    KiloCodeFIM: {
        "suffix": "}",
        "max_tokens": 9,
        "stop": "x",
        "timeout": (5, 60),
        "total_timeout": 3,
        "feature": "mine",
    },
    KiloCodeEmbedding: {"model_name": "openai/text-embedding-3-large", "dimensions": 8, "embed_batch_size": 3},
}
TABLES = {
    "llms": (llm_loading, "RECOGNIZED_LLMS", "load_llm"),
    "embeddings": (embedding_loading, "RECOGNIZED_EMBEDDINGS", "load_embed_model"),
}


@pytest.fixture
def tables() -> Iterator[dict[str, dict[str, Any]]]:
    """Give LlamaIndex's two tables of classes, and put back what was in them."""
    found: dict[str, dict[str, Any]] = {kind: getattr(module, table) for kind, (module, table, _) in TABLES.items()}
    kept = {kind: dict(table) for kind, table in found.items()}
    yield found
    for kind, table in found.items():
        table.clear()
        table.update(kept[kind])


@pytest.fixture(params=SETTINGS, ids=lambda cls: cls.__name__)
def made(request: pytest.FixtureRequest, gateway: LocalGateway) -> Any:
    """Give an object of each class, with a key and a header that are secret."""
    secrets = {"api_key": KEY, "default_headers": {"X-Secret": "header-secret-1"}}
    return request.param(**SETTINGS[request.param], **secrets, api_base=gateway.base_url)


def use(thing: Any) -> None:
    """Make one request."""
    if isinstance(thing, KiloCodeEmbedding):
        thing.get_query_embedding("Hi.")
    else:
        thing.complete("def add(a, b):\n    return ")


def test_to_dict_and_back_without_the_key(made: Any, gateway: LocalGateway) -> None:
    use(made)
    data = made.to_dict()
    assert data["class_name"] == type(made).__name__
    text = json.dumps(data)
    assert KEY not in text
    assert "header-secret-1" not in text
    cls = type(made)
    for twin in (cls.from_dict(data), cls.from_json(made.to_json()), cls.from_dict(json.loads(text))):
        assert twin.to_dict() == data
        assert twin.api_key is None
        for name, value in SETTINGS[cls].items():
            if name in cls.model_fields:
                assert getattr(twin, name) == value
    assert json.dumps(data) == text
    use(cls.from_dict(data, api_key="test-key-2"))
    assert gateway.last_request.authorization == "Bearer test-key-2"


def test_settings_arrive_after_a_round_trip(gateway: LocalGateway) -> None:
    llm = KiloCode.from_dict(KiloCode(**SETTINGS[KiloCode], api_base=gateway.base_url).to_dict(), api_key=KEY)
    llm.complete("Hi.")
    sent = gateway.last_request
    assert (sent.json["stop"], sent.json["provider"]) == (["x"], {"sort": "price"})
    assert sent.json["parallel_tool_calls"] is True
    assert sent.headers["x-kilocode-organizationid"] == "org-1"


def test_a_dict_of_another_llm_is_taken_as_far_as_it_is_known(gateway: LocalGateway) -> None:
    data = KiloCode(api_base=gateway.base_url).to_dict()
    assert KiloCode.from_dict({**data, "api_version": "2024"}).model == "kilo/auto"
    with pytest.raises(ConfigurationError, match="temprature"):
        KiloCode.from_dict({**data, "temprature": 1})
    with pytest.raises(ConfigurationError, match="sufix"):
        KiloCodeFIM.from_dict({"sufix": "x"})


@pytest.mark.usefixtures("tables")
def test_llama_index_loads_what_to_dict_gave(made: Any, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    load: Any = LOADERS[type(made)]
    data = json.loads(json.dumps(made.to_dict()))
    with pytest.raises(ValueError, match="Invalid"):
        load(data)
    register()
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-env")
    loaded = load(data)
    assert type(loaded) is type(made)
    assert loaded.to_dict() == made.to_dict()
    use(loaded)
    assert gateway.last_request.authorization == "Bearer test-key-env"
    assert load(made) is made


def test_twice_and_from_many_threads_is_once(tables: dict[str, dict[str, Any]]) -> None:
    before = {kind: dict(table) for kind, table in tables.items()}
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(register) for _ in range(32)]:
            done.result()
    register()
    assert tables["llms"] == {**before["llms"], "KiloCode": KiloCode, "KiloCodeFIM": KiloCodeFIM}
    assert tables["embeddings"] == {**before["embeddings"], "KiloCodeEmbedding": KiloCodeEmbedding}
    assert type(load_llm(MockLLM().to_dict())) is MockLLM


def test_nothing_is_registered_by_an_import(tables: dict[str, dict[str, Any]]) -> None:
    importlib.import_module("llama_index_kilocode")
    assert not any("KiloCode" in name for table in tables.values() for name in table)


def test_somebody_elses_class_stays_and_is_told(tables: dict[str, dict[str, Any]]) -> None:
    class TheirEmbedding(KiloCodeEmbedding):
        pass

    tables["embeddings"]["KiloCodeEmbedding"] = TheirEmbedding
    with pytest.raises(
        ConfigurationError, match=r"'KiloCodeEmbedding' as TheirEmbedding of .*from_dict\(\.\.\.\) inst"
    ):
        register()
    assert tables["embeddings"]["KiloCodeEmbedding"] is TheirEmbedding
    assert "KiloCode" not in tables["llms"]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(
    ("table", "found"),
    [
        (None, "nothing there"),
        ([MockLLM], "list there"),
        ({}, "an empty dict"),
        ({"MockLLM": "llama_index.core.llms.MockLLM"}, "an entry 'MockLLM': 'llama_index.core.llms.MockLLM'"),
    ],
)
def test_tables_that_have_changed_are_told(
    tables: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, kind: str, table: Any, found: str
) -> None:
    module, name, _ = TABLES[kind]
    monkeypatch.setattr(module, name, table)
    with pytest.raises(ConfigurationError) as raised:
        register()
    raised.match(f"expected a dict of .*{module.__name__}.{name}, found {found}")
    raised.match(r"Installed is llama-index-core \d+\.\d+.*Nothing was changed. Call KiloCode\w*\.from_dict\(")
    assert not any("kilo" in one.lower() for table in tables.values() for one in table)


@pytest.mark.parametrize("kind", TABLES)
def test_loaders_that_no_longer_read_the_table_are_told(
    tables: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    module, name, function = TABLES[kind]
    with monkeypatch.context() as patch:
        patch.setattr(module, function, lambda data: data)
        with pytest.raises(ConfigurationError, match=f"expected {function} to look names up in {name}, found "):
            register()
    with monkeypatch.context() as patch:
        patch.delattr(module, function)
        with pytest.raises(ConfigurationError, match="found no such function"):
            register()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, None)
        with pytest.raises(ConfigurationError, match="found import of"):
            register()
    assert not any("kilo" in one.lower() for table in tables.values() for one in table)
