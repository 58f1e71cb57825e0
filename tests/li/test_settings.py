"""Settings: which wins, what is sent, what is refused."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from kilocode_gateway import wire
from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from llama_index_kilocode import KiloCode, KiloCodeEmbedding
from llama_index_kilocode._settings import PER_CALL, KiloCodeSettings

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

HI = [ChatMessage(role="user", content="Hi.")]


def sent(gateway: LocalGateway) -> dict[str, Any]:
    body: dict[str, Any] = gateway.chat_requests[-1].json
    return body


def test_nothing_is_sent_that_was_not_set(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.chat(HI)
    assert sent(gateway) == {"model": "openai/gpt-5.4", "messages": [{"role": "user", "content": "Hi."}]}


async def test_the_call_wins_over_additional_kwargs_and_those_over_fields(
    ask: Any, make_llm: Any, gateway: LocalGateway
) -> None:
    llm = make_llm(
        model="openai/gpt-5.4",
        temperature=0.1,
        max_tokens=50,
        top_p=0.5,
        seed=1,
        additional_kwargs={"top_p": 0.6, "seed": 2, "min_p": 0.1},
    )
    await ask(llm, max_tokens=9, seed=3, model="openai/gpt-5.4-mini")
    body = sent(gateway)
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("openai/gpt-5.4-mini", 9, 0.1)
    assert (body["top_p"], body["seed"], body["min_p"]) == (0.6, 3, 0.1)


def test_dicts_are_merged_inside(make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(
        provider={"order": ["a"], "sort": "price"},
        extra_body={"one": {"a": 1}, "two": 2},
        additional_kwargs={"provider": {"zdr": True}, "extra_body": {"one": {"b": 2}}},
    )
    llm.chat(HI, provider={"sort": "latency"}, extra_body={"one": {"c": 3}, "temperature": 0.7}, temperature=0.2)
    body = sent(gateway)
    assert body["provider"] == {"order": ["a"], "sort": "latency", "zdr": True}
    assert body["one"] == {"a": 1, "b": 2, "c": 3}
    assert body["two"] == 2
    assert body["temperature"] == 0.7, "extra_body is merged last"
    assert llm.provider == {"order": ["a"], "sort": "price"}
    assert llm.additional_kwargs == {"provider": {"zdr": True}, "extra_body": {"one": {"b": 2}}}


class City(BaseModel):
    """A city."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


FIELDS = {"temperature": 0.1, "max_tokens": 50, "provider": {"order": ["a"]}, "extra_body": {"one": {"a": 1}}}
FURTHER = {"seed": 2, "provider": {"zdr": True}, "extra_body": {"one": {"b": 2}}}
CALL = {"temperature": None, "max_tokens": 9, "extra_body": {"one": {"c": 3}}, "provider": {"sort": "price"}}
PROMPT = PromptTemplate("A city.")
TOOLS = [FunctionTool.from_defaults(add)]


async def _pieces(stream: Any) -> list[Any]:
    return [piece async for piece in await stream]


WITH_CALL_SETTINGS = {
    "chat_with_tools": lambda llm: llm.chat_with_tools(TOOLS, "Add.", **CALL),
    "achat_with_tools": lambda llm: llm.achat_with_tools(TOOLS, "Add.", **CALL),
    "stream_chat_with_tools": lambda llm: list(llm.stream_chat_with_tools(TOOLS, "Add.", **CALL)),
    "astream_chat_with_tools": lambda llm: _pieces(llm.astream_chat_with_tools(TOOLS, "Add.", **CALL)),
    "structured_predict": lambda llm: llm.structured_predict(City, PROMPT, CALL),
    "astructured_predict": lambda llm: llm.astructured_predict(City, PROMPT, CALL),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(City, PROMPT, CALL)),
    "astream_structured_predict": lambda llm: _pieces(llm.astream_structured_predict(City, PROMPT, CALL)),
    "as_structured_llm": lambda llm: llm.as_structured_llm(City).chat(HI, **CALL),
    "predict_and_call": lambda llm: llm.predict_and_call(TOOLS, "What is 1 plus 2?", **CALL),
}
WITHOUT = {
    "predict": lambda llm: llm.predict(PROMPT),
    "apredict": lambda llm: llm.apredict(PROMPT),
    "stream": lambda llm: list(llm.stream(PROMPT)),
    "astream": lambda llm: _pieces(llm.astream(PROMPT)),
    "agent": lambda llm: FunctionAgent(tools=[add], llm=llm).run("Hi."),
    "react": lambda llm: ReActAgent(tools=[add], llm=llm).run("Hi."),
}


@pytest.mark.parametrize("way", [*WITH_CALL_SETTINGS, *WITHOUT])
async def test_settings_reach_every_other_way_to_ask(make_llm: Any, gateway: LocalGateway, way: str) -> None:
    llm = make_llm(**copy.deepcopy(FIELDS), additional_kwargs=copy.deepcopy(FURTHER))
    asked = {**WITH_CALL_SETTINGS, **WITHOUT}[way](llm)
    if inspect.isawaitable(asked):
        await asked
    body = gateway.chat_requests[0].json
    assert body["seed"] == 2
    if way in WITHOUT:
        assert (body["temperature"], body["max_tokens"]) == (0.1, 50)
        assert (body["provider"], body["one"]) == ({"order": ["a"], "zdr": True}, {"a": 1, "b": 2})
    else:
        assert "temperature" not in body
        assert body["max_tokens"] == 9
        assert body["provider"] == {"order": ["a"], "zdr": True, "sort": "price"}
        assert body["one"] == {"a": 1, "b": 2, "c": 3}
    assert (llm.temperature, llm.max_tokens) == (0.1, 50)
    assert llm.additional_kwargs == FURTHER
    assert CALL["extra_body"] == {"one": {"c": 3}}


async def test_none_and_deep_merges_on_all_entry_points(ask: Any, make_llm: Any, gateway: LocalGateway) -> None:
    llm = make_llm(**copy.deepcopy(FIELDS), additional_kwargs=copy.deepcopy(FURTHER))
    await ask(llm, **CALL)
    body = sent(gateway)
    assert (body["max_tokens"], body["seed"], body["one"]) == (9, 2, {"a": 1, "b": 2, "c": 3})
    assert body["provider"] == {"order": ["a"], "zdr": True, "sort": "price"}
    assert "temperature" not in body
    await ask(make_llm(temperature=None))
    assert not {"temperature", "max_tokens"} & set(sent(gateway))


def test_none_takes_a_setting_out(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(temperature=0.3, max_tokens=5).chat(HI, temperature=None, max_tokens=None)
    assert not {"temperature", "max_tokens"} & set(sent(gateway))


def test_the_other_name_of_max_tokens_wins_as_well(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(max_tokens=50).chat(HI, max_completion_tokens=7)
    assert sent(gateway)["max_tokens"] == 7
    assert "max_completion_tokens" not in sent(gateway)
    assert make_llm(max_completion_tokens=8).max_tokens == 8


def test_the_gateways_parameters_are_plain_settings(make_llm: Any, gateway: LocalGateway) -> None:
    given = {
        "reasoning": {"effort": "high"},
        "verbosity": "low",
        "transforms": ["middle-out"],
        "plugins": [{"id": "web"}],
        "provider": {"only": ["x"]},
        "top_k": 5,
        "min_p": 0.1,
        "top_a": 0.2,
        "repetition_penalty": 1.1,
        "user": "someone",
        "logit_bias": {"1": 2.0},
        "route": "fallback",
    }
    make_llm(model="openai/gpt-5.4", **given).chat(HI)
    by_constructor = sent(gateway)
    make_llm(model="openai/gpt-5.4").chat(HI, **given)
    assert by_constructor == sent(gateway)
    assert {name: by_constructor[name] for name in given} == given


def test_log_probs_and_audio(make_llm: Any, gateway: LocalGateway) -> None:
    make_llm(logprobs=True, top_logprobs=3, modalities=["text", "audio"], audio_config={"voice": "alloy"}).chat(HI)
    body = sent(gateway)
    assert (body["logprobs"], body["top_logprobs"], body["audio"]) == (True, 3, {"voice": "alloy"})
    make_llm(top_logprobs=3).chat(HI)
    assert not {"logprobs", "top_logprobs"} & set(sent(gateway))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("base_url", "api_base"),
        ("organization", "organization_id"),
        ("http_async_client", "async_http_client"),
        ("contextwindow", "context_window"),
        ("stream", "stream_chat"),
        ("openai_client", "http_client"),
    ],
)
def test_an_unknown_setting_names_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UnknownSettingError, match=meant) as caught:
        KiloCode(**{name: 1})  # type: ignore[misc]
    assert isinstance(caught.value, TypeError)


async def test_an_unknown_setting_of_a_call_is_refused_before_anything_is_sent(
    ask: Any, llm: KiloCode, gateway: LocalGateway
) -> None:
    with pytest.raises(UnknownSettingError, match="max_tokens"):
        await ask(llm, max_tokenz=1)
    with pytest.raises(UnknownSettingError, match="stream_chat"):
        await ask(llm, stream=True)
    assert gateway.chat_requests == []


@pytest.mark.parametrize("place", ["constructor", "additional_kwargs", "call"])
def test_a_list_of_models_is_refused_with_advice(llm: KiloCode, place: str) -> None:
    places = {
        "constructor": lambda: KiloCode(models=["a", "b"]),  # type: ignore[call-arg]
        "additional_kwargs": lambda: KiloCode(additional_kwargs={"models": ["a", "b"]}),
        "call": lambda: llm.chat(HI, models=["a", "b"]),
    }
    with pytest.raises(UnknownSettingError, match="deletes"):
        places[place]()


def test_unknown_names_in_additional_kwargs_are_refused() -> None:
    with pytest.raises(UnknownSettingError, match="temperature"):
        KiloCode(additional_kwargs={"temperatur": 1})
    with pytest.raises(UnknownSettingError, match="first argument"):
        KiloCode(additional_kwargs={"messages": []})


def test_old_names_of_the_base_are_taken(make_llm: Any) -> None:
    assert make_llm(api_type="fake", class_name="KiloCode", max_new_tokens=5).max_tokens == 5
    assert make_llm(reuse_client=False, api_version=None, strict=True).strict is True


def test_a_setting_without_effect_is_refused_where_it_is_given_by_hand(llm: KiloCode, gateway: LocalGateway) -> None:
    with pytest.raises(ConfigurationError, match=r"api_version.*Leave it out"):
        KiloCode(api_version="2024-10-21")
    kept = OpenAILike(model="m", api_version="1", api_base=gateway.base_url, is_chat_model=True).to_dict()
    assert KiloCode.from_dict(kept).api_version is None
    assert KiloCode.from_dict(llm.to_dict()).api_version is None
    assert KiloCode.from_json(llm.to_json(), temperature=0.5).temperature == 0.5
    with pytest.raises(ConfigurationError, match=r"api_version.*Leave it out"):
        llm.model_copy(update={"api_version": "1"})
    changed = llm.model_copy(update={"api_version": None, "reuse_client": False})
    assert pickle.loads(pickle.dumps(changed)).complete("Hi.").text


def test_the_gateway_has_chat_models_only() -> None:
    with pytest.raises(ConfigurationError, match="is_chat_model"):
        KiloCode(is_chat_model=False)


@pytest.mark.parametrize("timeout", [0, -1, "soon"])
def test_a_wrong_timeout_is_said_when_it_is_given(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"timeout must be a positive number.*httpx.*got {timeout!r}"):
        KiloCode(timeout=timeout)


def test_extra_headers_and_timeout_of_a_call(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.chat(HI, extra_headers={"X-Test-One": "1"}, timeout=5)
    assert gateway.chat_requests[-1].headers["x-test-one"] == "1"
    assert not {"extra_headers", "timeout"} & set(sent(gateway))
    llm.chat(HI)
    assert "x-test-one" not in gateway.chat_requests[-1].headers


OF_THE_MODEL = sorted(set(KiloCodeSettings.__annotations__) - {*wire.NAMES, *PER_CALL, "audio_config"})


@pytest.mark.parametrize("name", [*OF_THE_MODEL, "base_url", "openai_api_key", "organization", "http_async_client"])
def test_a_setting_of_the_model_is_never_advised_into_the_request(
    llm: KiloCode, gateway: LocalGateway, name: str
) -> None:
    with pytest.raises(UnknownSettingError, match=r"is a setting of the model.*give .* to KiloCode") as caught:
        llm.complete("Hi.", **{name: "secret-1"})
    assert name in str(caught.value)
    assert "extra_body" not in str(caught.value)
    assert "secret-1" not in str(caught.value)
    assert gateway.chat_requests == []
    if name not in KiloCode.model_fields:
        return
    with pytest.raises(UnknownSettingError, match=r"is a setting of the model") as caught:
        KiloCode(additional_kwargs={name: "secret-1"})
    assert "extra_body" not in str(caught.value)


@pytest.mark.parametrize("name", ["api_keys", "max_retry", "organisation_id", "http_clients"])
def test_a_misspelt_setting_of_the_model_is_not_advised_into_the_request(llm: KiloCode, name: str) -> None:
    with pytest.raises(UnknownSettingError, match=r"Did you mean .*setting of the model") as caught:
        llm.chat(HI, **{name: 1})
    assert "extra_body" not in str(caught.value)


def test_the_voice_has_another_name_in_a_call(llm: KiloCode, gateway: LocalGateway) -> None:
    with pytest.raises(UnknownSettingError, match="here it is called 'audio'"):
        llm.chat(HI, audio_config={"voice": "alloy"})
    llm.chat(HI, audio={"voice": "alloy"})
    assert sent(gateway)["audio"] == {"voice": "alloy"}


def test_the_headers_of_a_call_have_another_name(llm: KiloCode) -> None:
    with pytest.raises(UnknownSettingError, match="extra_headers"):
        llm.chat(HI, default_headers={"X": "1"})
    with pytest.raises(UnknownSettingError, match="default_headers"):
        KiloCode(extra_headers={"X": "1"})  # type: ignore[call-arg]


FASHIONS = [
    ("base_url", "api_base"),
    ("openai_api_base", "api_base"),
    ("openai_api_key", "api_key"),
    ("organization", "organization_id"),
    ("request_timeout", "timeout"),
    ("timeout_seconds", "timeout"),
    ("read_timeout", "timeout"),
    ("http_async_client", "async_http_client"),
    ("headers", "default_headers"),
    ("extra_headers", "default_headers"),
]


@pytest.mark.parametrize(("name", "meant"), FASHIONS)
@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding])
def test_names_of_other_fashions(cls: Any, name: str, meant: str) -> None:
    with pytest.raises(UnknownSettingError, match=f"here it is called '{meant}'") as caught:
        cls(**{name: "x"})
    assert "_body" not in str(caught.value)
    assert "additional_kwargs" not in str(caught.value)


def test_the_model_of_embeddings_may_be_called_model() -> None:
    assert KiloCodeEmbedding(model="mistralai/mistral-embed").model_name == "mistralai/mistral-embed"
    assert KiloCodeEmbedding(model=None).model_name == KiloCodeEmbedding().model_name
    with pytest.raises(ConfigurationError, match="model_name"):
        KiloCodeEmbedding("openai/text-embedding-3-large", model="mistralai/mistral-embed")
    with pytest.raises(UnknownSettingError, match="'model'"):
        KiloCode(model_name="x")  # type: ignore[call-arg]


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding])
def test_the_feature_is_a_setting(cls: Any, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def header(model: Any) -> str | None:
        model.complete("Hi.") if cls is KiloCode else model.get_text_embedding("Hi.")
        return gateway.last_request.headers.get("x-kilocode-feature")

    place = {"api_key": "test-key-1", "api_base": gateway.base_url}
    given = cls(**place, feature="reports")
    assert header(given) == "reports"
    assert header(given.model_copy(update={"feature": "letters"})) == "letters"
    assert header(copy.deepcopy(given)) == header(pickle.loads(pickle.dumps(given))) == "reports"
    assert header(cls(**place)) is None
    monkeypatch.setenv("KILOCODE_FEATURE", "nightly")
    assert cls(**place).feature == header(cls(**place)) == "nightly"
    assert header(given) == "reports"


def test_embeddings_wait_as_long_as_chats() -> None:
    assert KiloCodeEmbedding().timeout == KiloCode().timeout == 600


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("given", ["Hi.", HI[0], ["Hi."], [None], [{"role": "user", "content": "Hi."}], None, 3])
async def test_a_conversation_is_a_list_of_messages(
    chat: Any, make_llm: Any, gateway: LocalGateway, given: Any, watched: bool
) -> None:
    llm = make_llm(callback_manager=CallbackManager([TokenCountingHandler()])) if watched else make_llm()
    method = getattr(llm, chat.method)
    with pytest.raises(ConfigurationError, match=r"list of ChatMessage.*complete") as caught:
        await method(given) if chat.method.startswith("a") else list(method(given))
    assert caught.value.__cause__ is None
    assert gateway.chat_requests == []


def test_a_conversation_may_come_in_any_row(llm: KiloCode, gateway: LocalGateway) -> None:
    llm.chat(tuple(HI))
    llm.chat(message for message in HI)  # type: ignore[arg-type]
    assert [len(request.json["messages"]) for request in gateway.chat_requests] == [1, 1]


@pytest.mark.parametrize(
    "name", ["extra_body", "extra_headers", "reasoning", "provider", "response_format", "thinking"]
)
async def test_a_dict_of_a_call_is_a_dict(ask: Any, llm: KiloCode, gateway: LocalGateway, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a dict.*got str") as caught:
        await ask(llm, **{name: "secret-1"})
    assert "secret-1" not in str(caught.value)
    words = "use default_headers" if name == "extra_headers" else f"{name} must be a dict.*got int"
    with pytest.raises(ConfigurationError, match=words):
        KiloCode(additional_kwargs={name: 3})
    assert gateway.chat_requests == []


def test_an_effort_has_its_own_name(llm: KiloCode) -> None:
    with pytest.raises(ConfigurationError, match="reasoning_effort="):
        llm.chat(HI, reasoning="high")


@pytest.mark.parametrize("given", [["a"], 3, None])
async def test_a_text_to_embed_is_a_string(gateway: LocalGateway, given: Any) -> None:
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url)
    for method in ("text_embedding", "query_embedding"):
        with pytest.raises(ConfigurationError, match="string"):
            getattr(embed, f"get_{method}")(given)
        with pytest.raises(ConfigurationError, match="string"):
            await getattr(embed, f"aget_{method}")(given)
    for texts in ("abc", [given]):
        with pytest.raises(ConfigurationError, match="string"):
            embed.get_text_embedding_batch(texts)
        with pytest.raises(ConfigurationError, match="string"):
            await embed.aget_text_embedding_batch(texts)
    assert gateway.requests == []


@pytest.mark.parametrize("name", ["default_query", "default_model", "functions"])
def test_name_that_resembles_nothing_gets_no_hint(llm: KiloCode, name: str) -> None:
    for wrong in (lambda: llm.chat(HI, **{name: 1}), lambda: KiloCodeEmbedding(**{name: 1})):
        with pytest.raises(UnknownSettingError) as caught:
            wrong()
        assert "did you mean" not in str(caught.value).lower()
