"""A setting is checked alike wherever it is given: in the constructor, in a copy, by assignment, in a call."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import SecretStr

from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from llama_index_kilocode import KiloCode, KiloCodeEmbedding, KiloCodeFIM
from tests.wrong_values import WRONG_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway
    from tests.li.conftest import EntryPoint

CLASSES = [KiloCode, KiloCodeFIM, KiloCodeEmbedding]


@pytest.fixture(params=["constructor", "model_copy", "assignment"])
def give(request: pytest.FixtureRequest, gateway: LocalGateway) -> Callable[..., Any]:
    """Give settings to an object of a class, in each of the three ways."""

    def given(cls: Any, **settings: Any) -> Any:
        place = {"api_key": "test-key-1", "api_base": gateway.base_url}
        if request.param == "constructor":
            return cls(**{**place, **settings})
        if request.param == "model_copy":
            return cls(**place).model_copy(update=settings)
        made = cls(**place)
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    return given


OF_ALL: list[tuple[dict[str, Any], str]] = [
    ({"timeout": "fast"}, r"timeout must be a positive number of seconds, a pair .*httpx Timeout or None, got 'fast'"),
    ({"timeout": 0}, r"timeout must be a positive .*got 0"),
    ({"timeout": httpx.Timeout(5, write=9)}, r"kept as \(connect, read\).*write=9"),
    ({"max_retries": -1}, "max_retries must be a whole number from 0, got -1"),
    ({"max_retires": 5}, "did you mean 'max_retries'"),
    ({"base_url": "https://x.test"}, "it is called 'api_base'"),
    ({"api_base": "nonsense"}, r"http\(s\) URL.* as in 'https"),
    ({"api_key": "one\ntwo"}, "line break"),
    ({"api_key": ["one"]}, "api_key must be a string, got list"),
    ({"default_headers": {"a": 3}}, "header 'a' cannot be sent"),
    ({"model": ""}, "A model must be named by a string"),
    ({"model": 3}, "model.* got 3"),
]
OF_ONE: list[tuple[type, dict[str, Any], str]] = [
    *((KiloCode, *row) for row in WRONG_VALUES),
    (KiloCode, {"temprature": 0}, "Did you mean 'temperature'"),
    (KiloCode, {"model": None}, "model must be the id of a model, such as .*got None"),
    (KiloCode, {"fallback_models": "kilo/auto"}, "fallback_models must be a list"),
    (KiloCode, {"additional_kwargs": "x"}, "additional_kwargs must be a dict, got str"),
    (KiloCode, {"additional_kwargs": {"temprature": 0}}, "Did you mean 'temperature'"),
    (KiloCode, {"additional_kwargs": {"temperature": "hot"}}, "temperature must be a number from 0 to 2, got 'hot'"),
    (KiloCode, {"is_chat_model": False}, "chat models only"),
    (KiloCode, {"api_version": "1"}, "no versions"),
    (KiloCodeFIM, {"max_tokens": 1001}, "max_tokens must be a whole number from 1 to 1000"),
    (KiloCodeFIM, {"total_timeout": -1}, "total_timeout"),
    (KiloCodeEmbedding, {"dimension": 3}, "did you mean 'dimensions'"),
    (KiloCodeEmbedding, {"dimensions": 0}, "dimensions: Input should be greater than 0, got 0"),
    (KiloCodeEmbedding, {"embed_batch_size": 0}, "embed_batch_size: Input should be greater than 0, got 0"),
]


@pytest.mark.parametrize(("cls", "wrong", "said"), [*[(cls, *row) for cls in CLASSES for row in OF_ALL], *OF_ONE])
def test_what_cannot_be_used_is_refused_at_once(give: Any, cls: type, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?i){said}") as caught:
        give(cls, **wrong)
    assert caught.value.__cause__ is caught.value.__context__ is None
    for hidden in ("pydantic", "secret", "one\n", "base_url="):
        assert hidden not in str(caught.value)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_timeout_of_httpx_is_kept_as_a_pair(give: Any, cls: Any) -> None:
    assert give(cls, timeout=httpx.Timeout(5)).timeout == (5, 5)
    assert give(cls, timeout=httpx.Timeout(None)).timeout is None
    made = give(cls, timeout=httpx.Timeout(5, connect=2))
    assert made.timeout == cls.from_json(made.to_json()).timeout == (2, 5)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_can_be_used_is_taken_as_in_the_constructor(give: Any, cls: Any) -> None:
    made = give(cls, timeout="5", max_retries="3", organization_id="org-1")
    assert (made.timeout, made.max_retries, made.organization_id) == (5.0, 3, "org-1")


@pytest.mark.parametrize("cls", CLASSES)
def test_a_key_may_come_wrapped(give: Any, cls: Any) -> None:
    assert give(cls, api_key=SecretStr("test-key-2")).api_key == "test-key-2"
    assert give(cls, api_key=a_key).api_key is a_key


def test_a_refused_change_changes_nothing(make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(temperature=0.5, reasoning={"effort": "low"})
    before = llm.to_dict()
    for name, value in {"temperature": "hot", "api_base": "nonsense", "max_retries": -1, "reasoning": 3}.items():
        with pytest.raises(ConfigurationError):
            setattr(llm, name, value)
    assert llm.to_dict() == before
    llm.complete("Hi.")
    assert gateway.last_request.json["temperature"] == 0.5


def test_further_parameters_go_where_the_constructor_puts_them(give: Any, gateway: LocalGateway) -> None:
    llm = give(KiloCode, top_a=0.5, max_completion_tokens=7)
    assert llm.additional_kwargs == {"top_a": 0.5}
    twin = llm.model_copy(update={"user": "me", "top_a": 0.6})
    assert llm.additional_kwargs == {"top_a": 0.5}
    twin.complete("Hi.")
    sent = gateway.last_request.json
    assert (sent["top_a"], sent["user"], sent["max_tokens"]) == (0.6, "me", 7)


@pytest.mark.parametrize("deep", [False, True])
async def test_a_copy_may_have_clients_of_its_own(
    ask: EntryPoint, make_llm: Any, gateway: LocalGateway, deep: bool
) -> None:
    name, client = (
        ("async_http_client", httpx.AsyncClient(headers={"X-Mine": "yes"}))
        if ask.method.startswith("a")
        else ("http_client", httpx.Client(headers={"X-Mine": "yes"}))
    )
    llm = make_llm()
    twin = llm.model_copy(update={name: client}, deep=deep)
    assigned = make_llm()
    setattr(assigned, name, client)
    for one in (twin, twin.model_copy(update={"temperature": 0.5}), assigned):
        await ask(one)
        assert gateway.last_request.headers["x-mine"] == "yes"
    for one in (llm, twin.model_copy(update={name: None})):
        await ask(one)
        assert "x-mine" not in gateway.last_request.headers
    await client.aclose() if isinstance(client, httpx.AsyncClient) else client.close()


WRONG_IN_A_CALL: list[tuple[dict[str, Any], str]] = [
    *WRONG_VALUES,
    ({"temperature": True}, "temperature must be a number"),
    ({"tools": "x"}, "tools must be a list, got str"),
    ({"n": 2}, "n must be 1, .* one answer, got 2"),
    ({"extra_body": {"n": 2}}, "n must be 1"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG_IN_A_CALL)
async def test_a_call_is_checked_before_anything_is_paid(
    ask: EntryPoint, llm: KiloCode, gateway: LocalGateway, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await ask(llm, **wrong)
    assert gateway.requests == []
    await ask(llm, n=1, **dict.fromkeys(wrong.keys() - {"n"}))
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    "row",
    [
        (None, "got NoneType"),
        (b"abc", "got bytes"),
        (["a"], "got list. Messages go to chat"),
        ([ChatMessage(content="a")], "got list. Messages go to chat"),
        (PromptTemplate("Hello"), "got PromptTemplate. A template goes to predict"),
    ],
)
async def test_a_prompt_is_a_string(
    complete: EntryPoint, make_llm: Any, gateway: LocalGateway, row: tuple[Any, str], watched: bool
) -> None:
    prompt, said = row
    llm = make_llm(callback_manager=CallbackManager([TokenCountingHandler()])) if watched else make_llm()
    for formatted in (False, True):
        with pytest.raises(ConfigurationError, match=f"expects a string, {said}"):
            await complete(llm, prompt, formatted=formatted)
    assert gateway.requests == []


def a_key() -> str:
    return "test-key-of-now"


@pytest.mark.parametrize("cls", CLASSES)
def test_a_pickle_never_leaves_its_key_behind(
    cls: Any, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-of-another-account")
    made = cls(api_key=lambda: "test-key-1", api_base=gateway.base_url)
    with caplog.at_level(logging.WARNING), pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(made)
    assert caplog.records == []
    assert made.api_key() == copy.deepcopy(made).api_key() == "test-key-1", "it stays as it was"
    assert pickle.loads(pickle.dumps(cls(api_key=a_key, api_base=gateway.base_url))).api_key is a_key


def test_what_else_a_pickle_leaves_behind_is_told_and_stays_here(
    make_llm: Any, caplog: pytest.LogCaptureFixture
) -> None:
    llm = make_llm(completion_to_prompt=lambda text: f"Say: {text}")
    with caplog.at_level(logging.WARNING):
        twin = pickle.loads(pickle.dumps(llm))
    assert "leaves out what cannot be pickled: completion_to_prompt" in caplog.text
    assert twin.api_key == "test-key-1"
    assert llm.completion_to_prompt("Hi.") == "Say: Hi."


def test_names_that_are_no_settings_cannot_be_assigned(llm: KiloCode) -> None:
    with pytest.raises(UnknownSettingError, match="Did you mean 'temperature'"):
        llm.temprature = 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("texts", [None, 3, {"a": 1}])
async def test_texts_to_embed_are_a_list(gateway: LocalGateway, texts: Any) -> None:
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url)
    with pytest.raises(ConfigurationError, match=f"list of strings, got {type(texts).__name__}"):
        embed.get_text_embedding_batch(texts)
    with pytest.raises(ConfigurationError, match=f"list of strings, got {type(texts).__name__}"):
        await embed.aget_text_embedding_batch(texts)
    assert gateway.requests == []
