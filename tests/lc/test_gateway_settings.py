"""What only this gateway offers, as typed settings: routing, reasoning, mode, task, organization, fallback models."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import ModelError
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from kilocode_gateway import ConfigurationError, KiloCodeError, RateLimitError, UnknownSettingError, UpstreamError
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings, ProviderRouting, Reasoning

MODEL, SECOND, THIRD = "anthropic/claude-sonnet-4.6", "openai/gpt-5.4", "google/gemini-2.5-flash"


def _sent(gateway: Any) -> list[str]:
    return [request.json["model"] for request in gateway.chat_requests]


# Fallback models


@pytest.mark.parametrize("where", ["constructor", "call", "bind"])
async def test_next_model_answers_and_the_reply_tells_it(ask: Any, make_model: Any, gateway: Any, where: str) -> None:
    gateway.script(Reply.error("529"), Reply.error("alpha_ended"), Reply.text("ok"))
    settings = {"fallback_models": [SECOND, THIRD]}
    model = make_model(**settings) if where == "constructor" else make_model()
    model = model.bind(**settings) if where == "bind" else model
    answer = await ask(model, "Hello", **(settings if where == "call" else {}))
    assert answer.text == "ok"
    assert _sent(gateway) == [MODEL, SECOND, THIRD]
    metadata = answer.response_metadata
    assert (metadata["requested_model"], metadata["fallback_model"], metadata["model_name"]) == (MODEL, THIRD, THIRD)
    assert [(one["model"], one["error"], one["status"]) for one in metadata["failed_models"]] == [
        (MODEL, "UpstreamError", 529),
        (SECOND, "ModelNotFoundError", 404),
    ]
    assert gateway.api_key not in json.dumps(metadata)
    assert pickle.loads(pickle.dumps(answer)).response_metadata == metadata


async def test_nothing_is_told_where_nothing_failed(ask: Any, make_model: Any) -> None:
    metadata = (await ask(make_model(fallback_models=[SECOND]), "Hello")).response_metadata
    assert not {"fallback_model", "failed_models"} & set(metadata)


async def test_after_the_first_token_no_other_model_is_asked(ask_streamed: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(Reply.error("stream_error_mid_gateway"), Reply.text("ok"))
    with pytest.raises(UpstreamError) as caught:
        await ask_streamed(make_model(fallback_models=[SECOND]), "Hello")
    assert caught.value.text
    assert _sent(gateway) == [MODEL]


async def test_when_all_fail_the_error_tells_it(ask: Any, make_model: Any, gateway: Any) -> None:
    gateway.script(Reply.error("529"), Reply.error("rate_limit_free"))
    with pytest.raises(RateLimitError, match=r"others had failed before: 'anthropic/claude-sonnet-4\.6'") as caught:
        await ask(make_model(fallback_models=[SECOND]), "Hello")
    assert caught.value.details["failed_models"][0]["model"] == MODEL


async def test_agents_go_on_with_the_next_model(make_model: Any, gateway: Any) -> None:
    @tool
    def look(where: str) -> str:
        """Look somewhere."""
        return f"Nothing in {where}."

    call = [{"name": "look", "arguments": {"where": "there"}}]
    gateway.script(Reply.text("", tool_calls=call), Reply.error("529"), Reply.text("Nothing."))
    agent = create_agent(make_model(fallback_models=[SECOND]), [look])
    answer = agent.invoke({"messages": [HumanMessage("Look.")]})["messages"][-1]
    assert answer.text == "Nothing."
    assert answer.response_metadata["fallback_model"] == SECOND


def test_models_list_of_another_router_is_refused_with_advice(make_model: Any) -> None:
    for give in (lambda: make_model(models=[SECOND]), lambda: make_model().invoke("Hello", models=[SECOND])):
        with pytest.raises(UnknownSettingError, match=r"'models'.*deletes.*fallback_models=\[\.\.\.\]"):
            give()


@pytest.mark.parametrize("wrong", [SECOND, [""], [5], {SECOND: 1}])
def test_what_is_no_list_of_models_is_refused(make_model: Any, wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        make_model(fallback_models=wrong)
    with pytest.raises(ConfigurationError):
        make_model().invoke("Hello", fallback_models=wrong)


# Headers


async def test_mode_and_task(ask: Any, make_model: Any, gateway: Any) -> None:
    model = make_model(model="kilo-auto/frontier", mode="plan", task_id="conversation-7")
    answer = await ask(model, "Hello")
    headers = gateway.last_request.headers
    assert (headers["x-kilocode-mode"], headers["x-kilocode-taskid"]) == ("plan", "conversation-7")
    assert "opus" in answer.response_metadata["model_name"]
    await ask(model, "Hello", mode="code", task_id="conversation-8")
    headers = gateway.last_request.headers
    assert (headers["x-kilocode-mode"], headers["x-kilocode-taskid"]) == ("code", "conversation-8")
    assert not {"mode", "task_id"} & set(gateway.last_request.json)


async def test_task_of_each_conversation_by_configuration(make_model: Any, gateway: Any) -> None:
    from langchain_core.runnables import ConfigurableField

    model = make_model().configurable_fields(task_id=ConfigurableField(id="conversation"))
    model.invoke("Hello", config={"configurable": {"conversation": "seven"}})
    assert gateway.last_request.headers["x-kilocode-taskid"] == "seven"
    model.invoke("Hello")
    assert "x-kilocode-taskid" not in gateway.last_request.headers


async def test_organization(ask: Any, make_model: Any, gateway: Any) -> None:
    await ask(make_model(organization_id="org-1"), "Hello")
    assert gateway.last_request.headers["x-kilocode-organizationid"] == "org-1"


# The key


class Tokens:
    """Gives another token each time, and holds what cannot be copied."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()

    def next(self) -> str:
        self.count += 1
        return f"token-number-{self.count}"


async def test_key_from_a_function_is_asked_for_each_request(ask: Any, make_model: Any, gateway: Any) -> None:
    tokens = Tokens()
    model = make_model(api_key=tokens.next)
    copies = [model, model.model_copy(), copy.deepcopy(model), make_model().model_copy(update={"api_key": tokens.next})]
    for one in copies:
        await ask(one, "Hello")
    sent = [request.authorization for request in gateway.requests]
    assert sent == [f"Bearer token-number-{number}" for number in (1, 2, 3, 4)]
    assert "token-number" not in repr(model) + dumps(model)


async def test_embeddings_take_a_key_from_a_function(gateway: Any) -> None:
    tokens = Tokens()
    embeddings = KiloCodeEmbeddings(base_url=gateway.base_url, api_key=tokens.next, chunk_size=1, max_concurrency=1)
    embeddings.embed_documents(["a", "b"])
    assert gateway.last_request.authorization == "Bearer token-number-2"


# Fields of the request


async def test_every_setting_reaches_the_gateway(ask: Any, make_model: Any, gateway: Any) -> None:
    provider: ProviderRouting = {
        "order": ["anthropic"],
        "only": ["anthropic", "amazon-bedrock"],
        "ignore": ["azure"],
        "sort": "price",
        "data_collection": "allow",
        "zdr": False,
        "require_parameters": True,
    }
    reasoning: Reasoning = {"effort": "high", "exclude": False, "enabled": True}
    settings: dict[str, Any] = {
        "provider": provider,
        "reasoning": reasoning,
        "verbosity": "low",
        "transforms": ["middle-out"],
        "plugins": [{"id": "web"}],
    }
    await ask(make_model(**settings), "Hello")
    assert {name: gateway.last_request.json[name] for name in settings} == settings


def test_values_of_a_wrong_type_are_refused(make_model: Any) -> None:
    with pytest.raises(ConfigurationError, match="provider"):
        make_model(provider={"order": "anthropic"})
    with pytest.raises(ConfigurationError, match="provider must be a dict"):
        make_model().invoke("Hello", provider="anthropic")
    with pytest.raises(ConfigurationError, match="mode must be a string"):
        make_model(mode=5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"model": 5}, "model"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"base_url": 5}, "base_url"),
        ({"model_kwargs": "x"}, "model_kwargs must be a dict"),
        ({"stream": True}, "streaming=True"),
        ({"messages": []}, "give them to the call"),
    ],
)
def test_settings_that_cannot_be_used_are_our_own_errors(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        ChatKiloCode(**settings)
    assert "pydantic" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
async def test_what_a_call_is_about_is_no_extra(ask: Any, make_model: Any, gateway: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"extra_body cannot hold '{name}'"):
        await ask(make_model(extra_body={name: "x"}), "Hello")
    assert gateway.requests == []


async def test_stream_has_one_answer(ask_streamed: Any, model: Any, gateway: Any) -> None:
    with pytest.raises(ConfigurationError, match="n must be 1"):
        await ask_streamed(model, "Hello", n=2)
    with pytest.raises(ConfigurationError, match="n must be a whole number"):
        await ask_streamed(model, "Hello", n=0)
    assert gateway.requests == []


async def test_none_in_a_call_takes_a_setting_out(ask: Any, make_model: Any, gateway: Any) -> None:
    model = make_model(temperature=0.5, task_id="t", top_p=0.1, fallback_models=[SECOND])
    await ask(model, "Hello", temperature=None, task_id=None, fallback_models=None)
    assert "temperature" not in gateway.last_request.json
    assert gateway.last_request.json["top_p"] == 0.1
    assert "x-kilocode-taskid" not in gateway.last_request.headers
    gateway.script(Reply.error("529"))
    with pytest.raises(UpstreamError):
        await ask(model, "Hello", fallback_models=None)


def test_misspelt_settings_are_of_a_class_that_langchain_does_not_repeat(model: Any) -> None:
    with pytest.raises(UnknownSettingError) as caught:
        model.bind(temprature=0)
    assert isinstance(caught.value, ModelError)
    assert not caught.value.is_retryable


async def test_empty_list_of_tools_is_not_sent(ask: Any, make_model: Any, gateway: Any) -> None:
    await ask(make_model(tools=[], tool_choice="auto"), "Hello")
    assert not {"tools", "tool_choice"} & set(gateway.last_request.json)


def test_each_setting_is_documented_under_its_field() -> None:
    import ast
    import inspect

    from langchain_kilocode import _fields

    (owner,) = (node for node in ast.parse(inspect.getsource(_fields)).body if isinstance(node, ast.ClassDef))
    documented = {
        before.target.id: after.value.value
        for before, after in zip(owner.body, owner.body[1:], strict=False)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    named = {"provider", "reasoning", "verbosity", "transforms", "plugins", "mode", "task_id", "organization_id"}
    named |= {"check_inputs", "fallback_models", "first_token_timeout", "total_timeout"}
    assert named <= set(documented)
    for name in ("mode", "task_id", "fallback_models", "transforms", "plugins"):
        assert "20" in documented[name], f"{name} names the source of what it says about the wire"


def test_they_are_part_of_what_a_trace_and_a_copy_carry(make_model: Any, gateway: Any) -> None:
    model = make_model(fallback_models=[SECOND], mode="plan", task_id="t", total_timeout=5.0)
    assert model._get_invocation_params()["fallback_models"] == [SECOND]
    for copied in (pickle.loads(pickle.dumps(model)), model.model_copy(), model.model_copy(deep=True)):
        assert (copied.fallback_models, copied.mode, copied.task_id, copied.total_timeout) == ([SECOND], "plan", "t", 5)
    assert json.loads(dumps(model))["kwargs"]["fallback_models"] == [SECOND]
    changed = model.model_copy(update={"mode": "code", "fallback_models": None})
    gateway.script(Reply.error("529"))
    with pytest.raises(KiloCodeError):
        changed.invoke("Hello")
    assert gateway.last_request.headers["x-kilocode-mode"] == "code"


# What a model cannot take

TEXT_ONLY = "deepseek/deepseek-v3.2"
PNG = "iVBORw0KGgo="
IMAGE = {"type": "image", "base64": PNG, "mime_type": "image/png"}
PICTURE = [{"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE]}]


@pytest.mark.parametrize("where", ["constructor", "call", "bind"])
async def test_images_for_a_model_that_takes_none(ask: Any, make_model: Any, gateway: Any, where: str) -> None:
    model = await make_model(model=TEXT_ONLY).aload()
    gateway.clear()
    with pytest.raises(ConfigurationError, match=f"'{TEXT_ONLY}' takes no images.*message 1 of 1") as caught:
        await ask(model, PICTURE)
    assert isinstance(caught.value, ModelError)
    assert gateway.requests == []
    off = {"check_inputs": False}
    model = make_model(model=TEXT_ONLY, **(off if where == "constructor" else {}))
    model = model.bind(**off) if where == "bind" else model
    assert (await ask(model, PICTURE, **(off if where == "call" else {}))).text
    assert "check_inputs" not in gateway.last_request.json


async def test_a_tools_image_counts_and_a_file_does_not(ask: Any, make_model: Any, gateway: Any) -> None:
    model = await make_model(model=TEXT_ONLY).aload()
    call = {"name": "camera", "args": {}, "id": "c1"}
    result = ToolMessage([IMAGE], tool_call_id="c1")
    with pytest.raises(ConfigurationError, match=r"message 3 of 3 \(tool\) holds an image"):
        await ask(model, [HumanMessage("Look."), AIMessage("", tool_calls=[call]), result])
    file = {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf", "filename": "a.pdf"}
    assert (await ask(model, [HumanMessage([file])])).text
    assert (await ask(make_model(model="kilo-auto/free"), PICTURE)).text
    assert len(gateway.chat_requests) == 2


def test_traces_and_caches_hear_of_the_check_only_where_it_is_off(make_model: Any) -> None:
    assert "check_inputs" not in make_model()._get_invocation_params()
    assert make_model(check_inputs=False)._get_invocation_params()["check_inputs"] is False
    with pytest.raises(ConfigurationError, match="check_inputs must be True or False"):
        make_model(check_inputs="no")


def test_editors_know_the_names() -> None:
    assert {"order", "only", "ignore", "sort", "data_collection", "zdr", "require_parameters"} == set(
        ProviderRouting.__annotations__
    )
    assert {"effort", "max_tokens", "exclude", "enabled"} == set(Reasoning.__annotations__)
    assert {"fallback_models", "mode", "task_id"} <= set(ChatKiloCode.model_fields)


# Labels

LABELS = {"ticket": "42"}


async def test_labels_for_the_provider_and_labels_of_traces(ask: Any, make_model: Any, gateway: Any) -> None:
    in_body = {"extra_body": {"metadata": LABELS}}
    await ask(make_model(), "Hello", **in_body)
    await ask(make_model(**in_body), "Hello")
    await ask(make_model().bind(metadata=LABELS, extra_body={"seed": 1}), "Hello")
    await ask(make_model().bind_tools([], metadata=LABELS), "Hello")
    assert [request.json["metadata"] for request in gateway.requests] == [LABELS] * 4
    assert gateway.requests[2].json["seed"] == 1
    await ask(make_model(metadata=LABELS), "Hello", config={"metadata": LABELS})
    assert "metadata" not in gateway.last_request.json


@pytest.mark.filterwarnings("always:reasoning_effort")
async def test_warning_names_the_users_line(make_model: Any) -> None:
    """Not in `ainvoke`: langchain-core runs that in a task of its own, which knows no caller."""
    model = make_model(model="kilo/auto", reasoning_effort="low")

    async def ask() -> None:
        model.invoke("Hello")
        list(model.stream("Hello"))
        _ = [chunk async for chunk in model.astream("Hello")]

    with pytest.warns(UserWarning, match="reasoning_effort") as caught:
        await ask()
    assert [warned.filename for warned in caught] == [__file__] * 3
