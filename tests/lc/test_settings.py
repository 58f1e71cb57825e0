"""Settings: what is taken, refused, kept secret, copied, pickled and serialized."""

from __future__ import annotations

import copy
import json
import pickle
import socket
import threading
import traceback
import warnings
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps, loads
from pydantic import SecretStr

from kilocode_gateway import ConfigurationError, UnknownSettingError
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM

SECRET = "test-key-that-must-not-show"


def test_kilo_auto_is_the_default() -> None:
    assert ChatKiloCode().model_name == "kilo/auto"
    assert ChatKiloCode()._llm_type == "kilocode-chat"


@pytest.mark.parametrize("make", [ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM])
def test_environment_is_read_and_not_stored(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", SECRET)
    monkeypatch.setenv("KILOCODE_BASE_URL", "http://127.0.0.1:9/x")
    monkeypatch.setenv("KILOCODE_ORGANIZATION_ID", "org-1")
    made = make()
    config = made.gateway_config
    assert (config.api_key.reveal(), config.base_url, config.organization_id) == (
        SECRET,
        "http://127.0.0.1:9/x/",
        "org-1",
    )
    assert made.api_key is None
    assert SECRET.encode() not in pickle.dumps(made)
    assert SECRET not in repr(made) + str(made) + repr(config)


@pytest.mark.parametrize("make", [ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM])
def test_secrets_never_show(make: Any) -> None:
    made = make(api_key=SECRET, default_headers={"X-Token": SECRET})
    made.api_key = SECRET
    shown = [repr(made), str(made), repr(made.gateway_config), str(made.__dict__.get("api_key"))]
    shown.append(repr(made.model_copy(update={"api_key": SecretStr(SECRET)})))
    if make is not KiloCodeEmbeddings:
        shown += [
            dumps(made),
            repr(made.model_copy(update={"api_key": SECRET})),
            repr(made.asdict()),
            repr(made._serialized),
        ]
    if make is ChatKiloCode:
        shown += [repr(made._get_invocation_params()), repr(made._get_ls_params()), repr(made.bind(temperature=1))]
    assert not [text for text in shown if SECRET in text]


WRONG_KEYS = {"tuple": (SECRET,), "list": [SECRET], "dict": {SECRET: SECRET}, "bytes": SECRET.encode()}


@pytest.mark.parametrize("kind", list(WRONG_KEYS))
@pytest.mark.parametrize("make", [ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM])
@pytest.mark.parametrize(
    "give",
    [
        lambda make, kind: make(api_key=WRONG_KEYS[kind]),
        lambda make, kind: make.model_validate({"api_key": WRONG_KEYS[kind]}),
        lambda make, kind: setattr(make(), "api_key", WRONG_KEYS[kind]),
        lambda make, kind: make().model_copy(update={"api_key": WRONG_KEYS[kind]}),
    ],
    ids=["constructor", "validation", "assignment", "copy"],
)
def test_key_of_a_wrong_type_does_not_show(make: Any, kind: str, give: Any, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ConfigurationError, match=f"The api_key must be a string, got {kind}") as caught:
        give(make, kind)
    shown = str(caught.value) + repr(caught.value)
    if "validation" not in request.node.callspec.id:
        # There, pydantic's own frame holds the dict that the caller made.
        shown += "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ({"temprature": 1}, "'temperature'"),
        ({"models": ["a/b"]}, "fallback"),
        ({"model_kwargs": {"top_pp": 1}}, "'top_p'"),
        ({"baseurl": "x"}, "'base_url'"),
        ({"frequency_penality": 1}, "'frequency_penalty'"),
        ({"extra_headers": {}}, "default_headers="),
        ({"functions": []}, "tools="),
    ],
)
def test_unknown_setting_is_refused_in_the_constructor(setting: dict[str, Any], advice: str) -> None:
    with pytest.raises(UnknownSettingError, match=advice) as caught:
        ChatKiloCode(**setting)
    assert isinstance(caught.value, TypeError)
    assert "pydantic" not in str(caught.value)


async def test_unknown_setting_is_refused_in_a_call(ask: Any, model: Any, gateway: Any) -> None:
    advised = {"temprature": "'temperature'", "models": "fallback", "extra_headers": "default_headers="}
    for name, advice in {**advised, "functions": "tools="}.items():
        with pytest.raises(UnknownSettingError, match=advice):
            await ask(model, "Hello", **{name: 1})
        with pytest.raises(UnknownSettingError, match=advice):
            model.bind(**{name: 1})
    assert gateway.requests == []


MODEL_SETTINGS = (
    *("api_key", "base_url", "default_headers", "timeout", "request_timeout", "max_retries", "organization_id"),
    *(
        "http_client",
        "http_async_client",
        "feature",
        "rate_limiter",
        "stop_sequences",
        "output_version",
        "model_kwargs",
    ),
)


async def test_setting_of_the_model_is_refused_in_a_call(ask: Any, model: Any, gateway: Any) -> None:
    for name in MODEL_SETTINGS:
        with pytest.raises(
            UnknownSettingError, match=f"'{name}' is a setting of the model, not of a call: give it"
        ) as caught:
            await ask(model, "Hello", **{name: SECRET})
        assert "ChatKiloCode(...)" in str(caught.value)
        assert f"model_copy(update={{'{name}': ...}})" in str(caught.value)
        assert "extra_body" not in str(caught.value)
        assert SECRET not in str(caught.value)
        with pytest.raises(UnknownSettingError, match="not of a call"):
            model.bind(**{name: SECRET})
    assert gateway.requests == []


@pytest.mark.parametrize("name", ["extra_body", "reasoning", "provider"])
async def test_dict_is_needed_in_a_call(ask: Any, model: Any, gateway: Any, name: str) -> None:
    for value, kind in ((3, "int"), ("high", "str"), ([], "list")):
        with pytest.raises(ConfigurationError, match=f"{name} must be a dict, got {kind}"):
            await ask(model, "Hello", **{name: value})
        with pytest.raises(ConfigurationError, match="must be a dict"):
            model.bind(**{name: value})
    assert gateway.requests == []


async def test_setting_of_openais_own_is_refused_in_a_call(ask: Any, model: Any) -> None:
    with pytest.raises(ConfigurationError, match="does not use 'use_responses_api'"):
        await ask(model, "Hello", use_responses_api=True)
    with pytest.raises(ConfigurationError, match="does not use 'openai_api_key'"):
        await ask(model, "Hello", openai_api_key=SECRET)


@pytest.mark.parametrize("make", [ChatKiloCode, KiloCodeEmbeddings, KiloCodeFIM])
@pytest.mark.parametrize(
    ("name", "instead"),
    {
        "api_base": "base_url",
        "http_async": "http_async_client",
        "async_http_client": "http_async_client",
        "additional_kwargs": "extra_body",
        "verify": "http_client",
        "proxy": "http_client",
    }.items(),
)
def test_name_from_another_library_is_refused_with_ours(make: Any, name: str, instead: str) -> None:
    for value in (SECRET, None, False):
        with pytest.raises(UnknownSettingError, match=f"has no setting '{name}'.*{instead}=") as caught:
            make(**{name: value})
        assert f"{{'{name}'" not in str(caught.value)
        assert SECRET not in str(caught.value)


def test_unknown_setting_of_embeddings() -> None:
    with pytest.raises(UnknownSettingError, match="'dimensions'"):
        KiloCodeEmbeddings(dimension=3)


@pytest.mark.parametrize(
    "setting",
    [
        {"use_responses_api": True},
        {"openai_api_key": SECRET},
        {"organization": "org-1"},
        {"openai_proxy": "http://127.0.0.1:1"},
        {"model_kwargs": {"include": ["x"]}},
        {"stream_chunk_timeout": 3.0},
        {"disabled_params": {"seed": None}},
        *({name: object()} for name in ("client", "async_client", "root_client", "root_async_client")),
    ],
)
def test_settings_of_openais_own_are_refused_with_advice(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="does not use") as caught:
        ChatKiloCode(**setting)
    assert SECRET not in str(caught.value)


def test_empty_settings_of_openais_own_pass() -> None:
    model = ChatKiloCode(disabled_params=None, client=None, async_client=None, root_client=None, root_async_client=None)
    assert model == ChatKiloCode()


@pytest.mark.parametrize(
    "setting", [{"api_key": "a\nb"}, {"base_url": "ftp://x"}, {"max_retries": -1}, {"n": 0}, {"timeout": -1}]
)
def test_useless_setting_is_refused_without_pydantics_wrapping(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ChatKiloCode(**setting)


def _server() -> tuple[str, list[bytes]]:
    """Listen for connections that nobody should make."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def watch() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            seen.append(b"connected")
            connection.close()

    threading.Thread(target=watch, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", seen


async def test_nothing_of_openai_is_read_or_sent(ask: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere, seen = _server()
    canary = "canary-value-1"
    names = ["API_KEY", "ADMIN_KEY", "ORG_ID", "ORGANIZATION", "PROJECT_ID", "WEBHOOK_SECRET", "CLIENT_ID"]
    variables = dict.fromkeys((f"OPENAI_{name}" for name in names), canary)
    variables["OPENAI_CUSTOM_HEADERS"] = f"X-Canary: {canary}"
    variables |= dict.fromkeys(
        ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY", "LANGSMITH_GATEWAY_URL"), f"{elsewhere}/{canary}"
    )
    variables |= {
        "LANGSMITH_GATEWAY": "true",
        "OPENAI_API_TYPE": "azure",
        "OPENAI_API_VERSION": canary,
        "OPENAI_LOG": "debug",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    model = ChatKiloCode(base_url=gateway.base_url, api_key=gateway.api_key)
    await ask(model, "Hello")
    await ask(model.bind_tools([{"type": "openrouter:web_search"}]), "Hello")
    model.with_structured_output({"title": "t", "type": "object", "properties": {"a": {"type": "string"}}}).invoke(
        "Hello"
    )
    assert model.profile is not None
    KiloCodeEmbeddings(base_url=gateway.base_url, api_key=gateway.api_key).embed_query("Hello")
    assert ChatKiloCode().gateway_config.api_key is None
    assert ChatKiloCode().gateway_config.base_url == "https://api.kilo.ai/api/gateway/"
    sent = b"".join(repr((request.path, request.headers)).encode() + request.body for request in gateway.requests)
    assert gateway.requests
    assert canary.encode() not in sent
    assert seen == []


def _keys(gateway: Any) -> list[str]:
    return [request.authorization for request in gateway.requests if request.path.endswith("completions")]


def test_changed_key_and_address_are_used_at_once(make_gateway: Any) -> None:
    first, second = make_gateway(), make_gateway()
    for found in (first, second):
        found.script(*[Reply.text("Hi")] * 4)
    model = ChatKiloCode(model="a/b", base_url=first.base_url, api_key="key-1")
    model.invoke("Hello")
    model.model_copy(update={"api_key": "key-2"}).invoke("Hello")
    copied = copy.copy(model)
    copied.api_key = SecretStr("key-3")
    copied.invoke("Hello")
    model.invoke("Hello")
    model.model_copy(update={"base_url": second.base_url, "model": "c/d"}).invoke("Hello")
    model.base_url = second.base_url
    model.model = "e/f"
    model.invoke("Hello")
    assert _keys(first) == ["Bearer key-1", "Bearer key-2", "Bearer key-3", "Bearer key-1"]
    assert [request.json["model"] for request in second.requests if request.path.endswith("completions")] == [
        "c/d",
        "e/f",
    ]


def test_copy_refuses_an_unknown_name(model: Any) -> None:
    with pytest.raises(UnknownSettingError, match="'temperature'"):
        model.model_copy(update={"temprature": 1})


def test_copy_with_a_request_field_that_is_no_field_of_the_class(model: Any, gateway: Any) -> None:
    model.model_copy(update={"modalities": ["image"]}).invoke("Hello")
    assert gateway.last_request.json["modalities"] == ["image"]
    assert model.model_kwargs == {}


def test_serialized_form_follows_the_settings(model: Any) -> None:
    before = model._serialized["kwargs"]["model_name"]
    copied = model.model_copy(update={"model": "c/d"})
    assert (before, copied._serialized["kwargs"]["model_name"]) == ("anthropic/claude-sonnet-4.6", "c/d")
    model.temperature = 0.7
    assert model._serialized["kwargs"]["temperature"] == 0.7


@pytest.mark.parametrize(
    "again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy], ids=["pickle", "deepcopy", "copy"]
)
def test_copies_are_equal_and_work(make_model: Any, gateway: Any, again: Any) -> None:
    model = make_model(temperature=0.3, provider={"zdr": True}, default_headers={"X-More": "1"})
    model.invoke("Hello")
    assert model.profile
    copied = again(model)
    assert copied == model
    assert copied._memory is not model._memory
    copied.invoke("Hello")
    assert gateway.last_request.headers["x-more"] == "1"
    assert gateway.last_request.authorization == f"Bearer {gateway.api_key}"
    assert gateway.last_request.json["provider"] == {"zdr": True}


def test_pickle_leaves_clients_behind(make_model: Any) -> None:
    class Client:
        def __reduce__(self) -> Any:
            raise AssertionError

    client = Client()
    model = make_model(http_client=client)
    assert copy.deepcopy(model).http_client is client
    assert pickle.loads(pickle.dumps(model)).http_client is None


def test_dumps_and_load(make_model: Any, gateway: Any) -> None:
    model = make_model(temperature=0.3, provider={"zdr": True}, modalities=["text"])
    text = dumps(model)
    assert gateway.api_key not in text
    assert json.loads(text)["id"] == ["langchain_kilocode", "chat_models", "ChatKiloCode"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls `loads` a beta
        loaded = loads(
            text,
            valid_namespaces=["langchain_kilocode"],
            allowed_objects=[ChatKiloCode],
            secrets_map={"KILOCODE_API_KEY": gateway.api_key},
        )
    assert loaded == model
    for half in ({"allowed_objects": [ChatKiloCode]}, {"valid_namespaces": ["langchain_kilocode"]}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=r"langchain_kilocode"):
                loads(text, **half)
    assert "allowed_objects=[ChatKiloCode]" in (ChatKiloCode.is_lc_serializable.__doc__ or "")
    assert loaded.invoke("Hello").text


def test_repr_tells_the_model_and_no_noise(model: Any, gateway: Any) -> None:
    assert repr(ChatKiloCode()) == "ChatKiloCode(model='kilo/auto')"
    shown = repr(model.model_copy(update={"temperature": 0.5, "metadata": {**model.metadata, "mine": 1}}))
    assert shown.startswith(f"ChatKiloCode(model='{model.model_name}', base_url='{gateway.base_url}'")
    assert "temperature=0.5" in shown
    assert "metadata={'mine': 1}" in shown
    assert gateway.api_key not in shown
    assert not [noise for noise in ("lc_versions", "model_kwargs", "model_name") if noise in shown + str(model)]


@pytest.mark.parametrize("ask", ["invoke", "ainvoke"], indirect=True)
async def test_cache_does_not_mix_gateways(ask: Any, make_gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = InMemoryCache()
    gateways = [make_gateway(), make_gateway()]
    answers = []
    for number, found in enumerate(gateways):
        found.script(Reply.text(f"From {number}"))
        monkeypatch.setenv("KILOCODE_BASE_URL", found.base_url)
        monkeypatch.setenv("KILOCODE_API_KEY", SECRET)
        for _ in range(2):
            model = ChatKiloCode(model="a/b", cache=cache)
            answers.append((await ask(model, "Hello")).text)
    assert answers == ["From 0", "From 0", "From 1", "From 1"]
    monkeypatch.setenv("KILOCODE_ORGANIZATION_ID", "org-2")
    gateways[1].script(Reply.text("For org-2"))
    assert (await ask(ChatKiloCode(model="a/b", cache=cache, api_key=SECRET), "Hello")).text == "For org-2"
    assert [_asked(found) for found in gateways] == [1, 2]
    assert SECRET not in repr(cache._cache)


def _asked(gateway: Any) -> int:
    return sum(request.path.endswith("completions") for request in gateway.requests)


def test_no_connection_and_no_file_in_the_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    ChatKiloCode(api_key="k").bind_tools([{"type": "openrouter:web_search"}])
    KiloCodeEmbeddings(api_key="k")
    KiloCodeFIM(api_key="k")


def test_names_in_traces(make_model: Any) -> None:
    model = make_model(temperature=0.2, max_tokens=9, stop="E")
    assert model._get_ls_params() == {
        "ls_provider": "kilocode",
        "ls_model_name": "anthropic/claude-sonnet-4.6",
        "ls_model_type": "chat",
        "ls_temperature": 0.2,
        "ls_max_tokens": 9,
        "ls_stop": ["E"],
    }
    assert model._get_ls_params(model="a/b")["ls_model_name"] == "a/b"
    assert "kilocode-gateway" in model.metadata["lc_versions"]
