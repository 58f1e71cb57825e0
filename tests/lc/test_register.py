"""`register()`: LangChain makes our classes of a name, wherever it takes one, and says so where it cannot."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    SummarizationMiddleware,
)
from langchain.chat_models import base as chat_models
from langchain.chat_models import init_chat_model
from langchain.embeddings import base as embeddings
from langchain.embeddings import init_embeddings
from langchain_core.messages import HumanMessage

from kilocode_gateway import ConfigurationError
from kilocode_gateway.local import Reply
from langchain_kilocode import ChatKiloCode, KiloCodeEmbeddings, register

BASES = (chat_models, embeddings)


pytestmark = pytest.mark.usefixtures("provider_tables")


@pytest.fixture
def registered(provider_tables: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    monkeypatch.setenv("KILOCODE_API_KEY", gateway.api_key)
    register()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("arguments", "settings", "model"),
    [
        (("kilo/auto",), {"model_provider": "kilocode"}, "kilo/auto"),
        (("kilocode:kilo/auto",), {}, "kilo/auto"),
        (("kilocode:stepfun/step-3.7-flash:free",), {"temperature": 0.5}, "stepfun/step-3.7-flash:free"),
        (("stepfun/step-3.7-flash:free",), {"model_provider": "kilocode"}, "stepfun/step-3.7-flash:free"),
    ],
)
def test_chat_models(arguments: Any, settings: Any, model: str, gateway: Any) -> None:
    made = init_chat_model(*arguments, **settings)
    assert type(made) is ChatKiloCode
    assert made.invoke("Hello").text
    sent = gateway.chat_requests[0].json
    assert (sent["model"], sent.get("temperature")) == (model, settings.get("temperature"))


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("kilocode:openai/text-embedding-3-small", {"dimensions": 8}),
        ("openai/text-embedding-3-small", {"provider": "kilocode", "dimensions": 8}),
    ],
)
def test_embeddings(name: str, settings: Any, gateway: Any) -> None:
    made = init_embeddings(name, **settings)
    assert type(made) is KiloCodeEmbeddings
    assert len(made.embed_query("Hello")) == 8
    assert gateway.last_request.json["model"] == "openai/text-embedding-3-small"


@pytest.mark.usefixtures("registered")
async def test_configurable_models(gateway: Any) -> None:
    model = init_chat_model("kilocode:kilo-auto/free", configurable_fields="any").with_config(tags=["configured"])
    chosen = {"configurable": {"model": "kilocode:stepfun/step-3.7-flash:free", "temperature": 0}}
    assert (await model.ainvoke("Hello", chosen)).text
    assert (gateway.last_request.json["model"], gateway.last_request.json["temperature"]) == (
        "stepfun/step-3.7-flash:free",
        0,
    )
    assert model.invoke("Hello").text
    assert gateway.last_request.json["model"] == "kilo-auto/free"


@pytest.mark.usefixtures("registered")
async def test_agents_and_their_middlewares(gateway: Any) -> None:
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        return f"Sunny in {city}."

    name = "kilocode:anthropic/claude-sonnet-4.6"
    agent = create_agent(
        name,
        tools=[get_weather],
        middleware=[
            SummarizationMiddleware(name, trigger=("messages", 50)),
            LLMToolSelectorMiddleware(model=name),
            LLMToolEmulator(model=name, tools=[]),
        ],
    )
    answer = await agent.ainvoke({"messages": [HumanMessage("What is the weather in Paris?")]})
    assert answer["messages"][-1].text
    assert {request.json["model"] for request in gateway.chat_requests} == {"anthropic/claude-sonnet-4.6"}


@pytest.mark.usefixtures("registered")
def test_fallback_models_of_agents(gateway: Any) -> None:
    agent = create_agent(
        "kilocode:anthropic/claude-sonnet-4.6", middleware=[ModelFallbackMiddleware("kilocode:kilo-auto/free")]
    )
    gateway.script(Reply.raw(400, {"error": "Invalid request"}))
    assert agent.invoke({"messages": [HumanMessage("Hello")]})["messages"][-1].text
    assert [request.json["model"] for request in gateway.chat_requests] == [
        "anthropic/claude-sonnet-4.6",
        "kilo-auto/free",
    ]


def test_nothing_is_registered_by_an_import(provider_tables: Any) -> None:
    assert not any("kilocode" in table for table in provider_tables)
    with pytest.raises(ValueError, match="kilocode"):
        init_chat_model("kilocode:kilo/auto")


def test_twice_and_from_many_threads_is_once(provider_tables: Any) -> None:
    before = [dict(table) for table in provider_tables]
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(register) for _ in range(32)]:
            done.result()
    entries = [table["kilocode"] for table in provider_tables]
    register()
    assert [table["kilocode"] for table in provider_tables] == entries
    assert [{**table, "kilocode": None} for table in provider_tables] == [
        {**table, "kilocode": None} for table in before
    ]


@pytest.mark.parametrize("module", ["langchain_kilocode", "langchain_kilocode.chat_models"])
def test_an_entry_that_leads_here_already_stays(provider_tables: Any, module: str) -> None:
    provider_tables[0]["kilocode"] = entry = (module, "ChatKiloCode", chat_models._call)
    register()
    assert provider_tables[0]["kilocode"] is entry
    assert isinstance(init_chat_model("kilocode:kilo/auto"), ChatKiloCode)


def test_somebody_elses_entry_stays_and_is_told(provider_tables: Any) -> None:
    provider_tables[1]["kilocode"] = theirs = ("their_package", "TheirEmbeddings", embeddings._call)
    with pytest.raises(ConfigurationError, match=r"'kilocode' as TheirEmbeddings of their_package already.*instance"):
        register()
    assert "kilocode" not in provider_tables[0]
    assert provider_tables[1]["kilocode"] is theirs


@pytest.mark.parametrize("base", BASES, ids=["chat", "embeddings"])
@pytest.mark.parametrize(
    ("table", "found"),
    [
        (None, "nothing there"),
        (("openai",), "tuple there"),
        ({}, "an empty dict"),
        ({"openai": ("langchain_openai", "ChatOpenAI")}, r"an entry 'openai': \('langchain_openai', 'ChatOpenAI'\)"),
        ({"openai": "langchain_openai"}, "an entry 'openai': 'langchain_openai'"),
    ],
)
def test_tables_that_have_changed_are_told(
    provider_tables: Any, monkeypatch: pytest.MonkeyPatch, base: Any, table: Any, found: str
) -> None:
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", table)
    with pytest.raises(ConfigurationError) as raised:
        register()
    raised.match(f"expected a dict of .*{base.__name__}._BUILTIN_PROVIDERS, found {found}")
    raised.match(
        r"Installed is langchain \d+\.\d+.*Nothing was changed. Pass an instance instead of a name: \w+\(model"
    )
    assert not any("kilocode" in table for table in provider_tables)


@pytest.mark.parametrize("number", [0, 1], ids=["chat", "embeddings"])
def test_tables_that_nobody_reads_any_more_are_told(
    provider_tables: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    base, function = BASES[number], ("init_chat_model", "init_embeddings")[number]
    unread = dict(provider_tables[number])
    with monkeypatch.context() as patch:
        copy = type(base)(base.__name__)
        copy.__dict__.update(base.__dict__, _BUILTIN_PROVIDERS=unread)
        patch.setitem(sys.modules, base.__name__, copy)
        with pytest.raises(ConfigurationError, match=rf"expected {function} to make a .*found ValueError: .*instance"):
            register()
    assert not any("kilocode" in table for table in (*provider_tables, unread))


def test_a_function_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch, provider_tables: Any) -> None:
    monkeypatch.delattr(chat_models, "init_chat_model")
    with pytest.raises(ConfigurationError, match="found no such function"):
        register()
    assert not any("kilocode" in table for table in provider_tables)


@pytest.mark.parametrize(
    ("absent", "error", "text"),
    [
        ("langchain", "ImportError", "pip install 'langchain>=1.4'"),
        ("langchain.embeddings.base", "ConfigurationError", "found No module named 'langchain.embeddings.base'"),
    ],
)
def test_without_langchain(absent: str, error: str, text: str) -> None:
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {absent!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import langchain_kilocode\n"
        "assert langchain_kilocode.ChatKiloCode(model='kilo/auto')\n"
        "langchain_kilocode.register()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.split(": ")[0].rpartition(".")[2] == error
    assert text in last
    assert "(model=...)" in last
