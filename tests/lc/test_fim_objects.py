"""A model for gaps in code as a LangChain object: callbacks, traces, caches, chains, copies, serialized forms."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import ConfigurableField

import kilocode_gateway as ours
from kilocode_gateway.local import Reply
from langchain_kilocode import KiloCodeFIM
from tests.lc.fim_ways import AFTER, BEFORE, INFO, USAGE, ainvoke, astream, invoke, told


class _Notes(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ends: list[Any] = []
        self.starts: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []

    def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
        self.starts.append(kwargs)

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        assert kwargs["chunk"].text == token
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


class _AsyncNotes(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)


async def test_callbacks_get_each_token_and_the_end(fill_streamed: Any, fim: Any, gateway: Any) -> None:
    gateway.script(Reply.text("one two three", usage=USAGE, finish_reason="length"))
    notes, late = _Notes(), _AsyncNotes()
    handlers = [notes, late] if fill_streamed is astream else [notes]
    assert await fill_streamed(fim, BEFORE, config={"callbacks": handlers}) == "one two three"
    assert notes.tokens == ["one", " two", " three"]
    assert late.tokens == (notes.tokens if late in handlers else [])
    (end,) = notes.ends
    assert (end.generations[0][0].text, told(end.generations[0][0].generation_info)) == ("one two three", INFO)


async def test_traces_tell_what_a_call_asked_for(fill: Any, make_fim: Any) -> None:
    notes = _Notes()
    await fill(make_fim(temperature=0.5), BEFORE, suffix=AFTER, max_tokens=9, stop=["E"], config={"callbacks": [notes]})
    params = notes.starts[0]["invocation_params"]
    assert (params["suffix"], params["max_tokens"], params["stop"], params["_type"]) == (
        AFTER,
        9,
        ["E"],
        "kilocode-fim",
    )
    assert make_fim(temperature=0.5, stop="E", max_tokens=9)._get_ls_params(model="a/b") == {
        "ls_provider": "kilocode",
        "ls_model_type": "llm",
        "ls_model_name": "a/b",
        "ls_temperature": 0.5,
        "ls_max_tokens": 9,
        "ls_stop": ["E"],
    }
    assert {"langchain-core", "kilocode-gateway"} <= set(make_fim().metadata["lc_versions"])


@pytest.mark.parametrize("fill", [invoke, ainvoke])
async def test_cache_tells_calls_apart(fill: Any, make_fim: Any, make_gateway: Any) -> None:
    fim = make_fim(cache=InMemoryCache())
    other = make_gateway()
    settings: list[dict[str, Any]] = [
        {},
        {"suffix": "x"},
        {"suffix": "y"},
        {"max_tokens": 1},
        {"stop": ["+"]},
        {"model": "inception/mercury-edit-2"},
    ]
    answers = [await fill(fim, BEFORE, **call) for call in settings]
    assert answers == ["a + b", "a + b", "a + b", "a", "a ", "a + b"]
    elsewhere = fim.model_copy(update={"base_url": other.base_url})
    for call in settings * 2:
        await fill(fim, BEFORE, **call)
    await fill(fim.model_copy(update={"stop": "+"}), BEFORE)
    await fill(elsewhere, BEFORE)
    assert len(other.requests) == 1
    assert _asked(fim) == len(settings)


def _asked(fim: KiloCodeFIM) -> int:
    assert isinstance(fim.cache, InMemoryCache)
    return len([key for key in fim.cache._cache if fim.gateway_config.base_url in key[1]])


async def test_chains_and_messages(fill: Any, fim: Any, gateway: Any) -> None:
    chain = PromptTemplate.from_template("def {name}(a, b):\n    return ") | fim
    assert await fill(chain, {"name": "mul"}) == "a * b"
    for one in ([HumanMessage(BEFORE)], [("human", BEFORE)]):
        assert await fill(fim, one) == "a + b"
        assert gateway.last_request.json["prompt"] == BEFORE
    gateway.clear()
    with pytest.raises(ours.ConfigurationError, match=r"got 2 messages. Conversations go to ChatKiloCode"):
        await fill(ChatPromptTemplate([("system", "Code."), ("human", BEFORE)]) | fim, {})
    assert gateway.requests == []


@pytest.mark.parametrize(
    "again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy], ids=["pickle", "deepcopy", "copy"]
)
def test_copies_are_equal_and_work(make_fim: Any, gateway: Any, again: Any) -> None:
    fim = make_fim(suffix=AFTER, default_headers={"X-More": "1"})
    assert fim._serialized["kwargs"]["suffix"] == AFTER
    copied = again(fim)
    assert copied == fim
    assert copied._memory is not fim._memory
    copied.suffix = "x"
    assert copied._serialized["kwargs"]["suffix"] == "x"
    assert copied.invoke(BEFORE) == "a + b"
    assert (gateway.last_request.json["suffix"], gateway.last_request.headers["x-more"]) == ("x", "1")
    assert gateway.last_request.authorization == f"Bearer {gateway.api_key}"


def test_pickle_leaves_clients_behind(make_fim: Any) -> None:
    class Client:
        def __reduce__(self) -> Any:
            raise AssertionError

    client = Client()
    fim = make_fim(http_client=client)
    assert copy.deepcopy(fim).http_client is client
    assert pickle.loads(pickle.dumps(fim)).http_client is None


def test_copy_and_assignment_take_either_name(make_fim: Any) -> None:
    fim = make_fim().model_copy(update={"timeout": 5})
    assert fim.request_timeout == 5
    fim.timeout = 6
    assert (fim.request_timeout, fim._transport()._timeouts["read"]) == (6, 6)
    assert fim._serialized["kwargs"]["request_timeout"] == 6
    for deep in (True, False):
        assert fim.model_copy(update={"suffix": "x"}, deep=deep)._serialized["kwargs"]["suffix"] == "x"


def test_call_keeps_the_key_that_the_model_was_made_with(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "first")
    fim = KiloCodeFIM(base_url=gateway.base_url)
    monkeypatch.delenv("KILOCODE_API_KEY")
    fim.invoke(BEFORE, suffix=AFTER)
    assert gateway.last_request.key == "first"


def test_dumps_and_load(make_fim: Any, gateway: Any) -> None:
    fim = make_fim(suffix=AFTER, stop="x", default_headers={"X-Token": "hidden"})
    text = dumps(fim)
    assert gateway.api_key not in text
    assert "hidden" not in text
    assert json.loads(text)["id"] == ["langchain_kilocode", "fim", "KiloCodeFIM"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls `loads` a beta
        loaded = loads(
            text,
            valid_namespaces=["langchain_kilocode"],
            allowed_objects=[KiloCodeFIM],
            secrets_map={"KILOCODE_API_KEY": gateway.api_key},
        )
    assert loaded == fim.model_copy(update={"default_headers": None})
    assert loaded.invoke(BEFORE) == "a + b"


async def test_configurable_fields(fill: Any, fim: Any, gateway: Any) -> None:
    configurable = fim.configurable_fields(suffix=ConfigurableField(id="suffix"))
    await fill(configurable.with_config(configurable={"suffix": "later"}), BEFORE)
    assert gateway.last_request.json["suffix"] == "later"


def test_repr_tells_the_model_and_no_noise(make_fim: Any, gateway: Any) -> None:
    assert repr(KiloCodeFIM()) == "KiloCodeFIM(model='mistralai/codestral-2508')"
    shown = repr(make_fim(suffix="x", metadata={"mine": 1}))
    assert shown.startswith("KiloCodeFIM(model='mistralai/codestral-2508'")
    assert "suffix='x'" in shown
    assert "metadata={'mine': 1}" in shown
    assert gateway.api_key not in shown


def test_tokens_are_estimated_offline(fim: Any, gateway: Any) -> None:
    assert 2 <= fim.get_num_tokens("Hello there") <= 4
    assert gateway.requests == []
    assert KiloCodeFIM(custom_get_token_ids=lambda text: [1] * len(text)).get_num_tokens("abc") == 3
