"""What LangSmith is told: every run of the model carries its tokens and its cost, in each way of asking."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.messages.ai import add_usage
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client, tracing_context

from kilocode_gateway import track_usage
from kilocode_gateway.local import Reply
from tests.core.helpers import soon

if TYPE_CHECKING:
    from collections.abc import Iterator

USED = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cost": 0.0125}


class LangSmith:
    """A server of our own that takes runs as LangSmith does, and the client that posts to it."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.begun: list[str] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                run = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.command == "POST":
                    told.begun.append(run["id"])
                told.runs.setdefault(run.get("id") or self.path.rpartition("/")[2], {}).update(run)
                self.send_response(202)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_PATCH = _take  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.client = Client(
            api_url=f"http://127.0.0.1:{self._server.server_port}", api_key="none", auto_batch_tracing=False, info={}
        )

    def told(self) -> list[Any]:
        """Give the usage of each run of a model."""
        found = [run for run in self.runs.values() if run.get("run_type") == "llm"]
        return [run["extra"]["metadata"].get("usage_metadata") for run in found]

    def close(self) -> None:
        self.client.close()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def langsmith() -> Iterator[LangSmith]:
    server = LangSmith()
    yield server
    server.close()


@pytest.fixture
def tracer(langsmith: LangSmith) -> LangChainTracer:
    return LangChainTracer(project_name="tests", client=langsmith.client)


def _reply() -> Reply:
    return Reply.text("Hello", usage=USED, model="anthropic/served")


TOLD = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150, "total_cost": 0.0125}


def _core(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in TOLD if name in told}


@pytest.mark.parametrize("streaming", [False, True])
async def test_run_carries_its_cost(
    ask: Any, make_model: Any, gateway: Any, langsmith: LangSmith, *, tracer: LangChainTracer, streaming: bool
) -> None:
    gateway.script(_reply())
    answer = await ask(make_model(streaming=streaming), "Hello", config={"callbacks": [tracer]})
    assert [_core(told) for told in langsmith.told()] == [TOLD]
    assert "total_cost" not in answer.usage_metadata
    assert answer.response_metadata["cost"] == 0.0125


async def test_run_in_a_chain_carries_its_cost(
    ask: Any, model: Any, gateway: Any, langsmith: LangSmith, tracer: LangChainTracer
) -> None:
    gateway.script(_reply())
    chain = (lambda text: text) | model
    await ask(chain, "Hello", config={"callbacks": [tracer]})
    assert [_core(told) for told in langsmith.told()] == [TOLD]
    model_run = next(run for run in langsmith.runs.values() if run["run_type"] == "llm")
    assert model_run["parent_run_id"] in langsmith.runs


async def test_tracing_that_is_switched_on_around_the_call(
    ask: Any, model: Any, gateway: Any, langsmith: LangSmith
) -> None:
    gateway.script(_reply())
    with tracing_context(enabled=True, client=langsmith.client, project_name="tests"):
        await ask(model, "Hello")
    assert [_core(told) for told in langsmith.told()] == [TOLD]


async def test_tracer_of_the_model_itself_traces_once(
    ask: Any, make_model: Any, gateway: Any, langsmith: LangSmith, tracer: LangChainTracer
) -> None:
    gateway.script(_reply())
    await ask(make_model(callbacks=[tracer]), "Hello")
    assert len(langsmith.begun) == 1
    assert [_core(told) for told in langsmith.told()] == [TOLD]


async def test_tracer_of_a_users_own_kind_keeps_its_ways(
    ask: Any, model: Any, gateway: Any, langsmith: LangSmith
) -> None:
    ended: list[str] = []

    class Own(LangChainTracer):
        def on_llm_end(self, response: Any, **kwargs: Any) -> Any:
            ended.append(response.generations[0][0].text)
            return super().on_llm_end(response, **kwargs)

    gateway.script(_reply())
    await ask(model, "Hello", config={"callbacks": [Own(client=langsmith.client)]})
    assert ended == ["Hello"]
    assert [_core(told) for told in langsmith.told()] == [TOLD]


@pytest.mark.parametrize("way", ["batch", "abatch", "generate", "agenerate"])
async def test_other_ways_of_asking(
    model: Any, gateway: Any, langsmith: LangSmith, tracer: LangChainTracer, way: str
) -> None:
    gateway.script(_reply(), _reply())
    if way == "generate":
        model.generate([[HumanMessage("a")], [HumanMessage("b")]], callbacks=[tracer])
    elif way == "agenerate":
        await model.agenerate([[HumanMessage("a")], [HumanMessage("b")]], callbacks=[tracer])
    elif way == "batch":
        model.batch(["a", "b"], {"callbacks": [tracer]})
    else:
        await model.abatch(["a", "b"], {"callbacks": [tracer]})
    assert [_core(told) for told in langsmith.told()] == [TOLD, TOLD]


@pytest.mark.parametrize("way", ["astream_events v2", "stream_events v3", "astream_events v3"])
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_events(model: Any, gateway: Any, langsmith: LangSmith, tracer: LangChainTracer, way: str) -> None:
    gateway.script(_reply())
    config = {"callbacks": [tracer]}
    if way == "astream_events v2":
        assert [event async for event in model.astream_events("Hello", config, version="v2")]
    elif way == "stream_events v3":
        assert list(model.stream_events("Hello", config, version="v3"))
    else:
        assert [event async for event in await model.astream_events("Hello", config, version="v3")]
        # LangChain ends the run in a task of its own.
        assert await soon(lambda: any(langsmith.told()))
    assert [_core(told) for told in langsmith.told()] == [TOLD]
    assert len(langsmith.begun) == 1


async def test_tracer_that_was_given_stays_as_it_was(ask: Any, model: Any, tracer: LangChainTracer) -> None:
    await ask(model, "Hello", config={"callbacks": [tracer]})
    assert type(tracer) is LangChainTracer


@pytest.mark.parametrize("way", ["generate", "agenerate"])
async def test_several_prompts_at_once_are_added_up(model: Any, gateway: Any, way: str) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 5}, "is_byok": False}
    gateway.script(*[Reply.text("Hello", usage={**USED, **details, "cost": 0.1}, model="a/served")] * 3)
    prompts = [[HumanMessage(text)] for text in "abc"]
    result = model.generate(prompts) if way == "generate" else await model.agenerate(prompts)
    assert result.llm_output == {
        "model_name": "a/served",
        "cost": 0.3,
        "token_usage": {
            **{name: 3 * count for name, count in USED.items() if name != "cost"},
            "cost": 0.3,
            "prompt_tokens_details": {"cached_tokens": 15},
            "is_byok": False,
        },
    }


async def test_run_whose_cost_nobody_told_carries_none(
    ask: Any, model: Any, gateway: Any, langsmith: LangSmith, tracer: LangChainTracer
) -> None:
    gateway.script(Reply.text("Hello", usage={**USED, "cost": None}))
    await ask(model, "Hello", config={"callbacks": [tracer]})
    assert "total_cost" not in langsmith.told()[0]


async def test_sums_over_several_calls(ask: Any, model: Any, gateway: Any, tracer: LangChainTracer) -> None:
    gateway.script(_reply(), _reply(), _reply())
    counted = UsageMetadataCallbackHandler()
    with get_usage_metadata_callback() as around:
        answers = [await ask(model, "Hello", config={"callbacks": [tracer, counted]}) for _ in range(3)]
    for usage in (counted.usage_metadata, around.usage_metadata):
        assert usage["anthropic/served"]["total_tokens"] == 450
    assert add_usage(answers[0].usage_metadata, answers[1].usage_metadata)["total_tokens"] == 300


@pytest.fixture(params=["of the model", "of everybody"])
def cached(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Give the settings of a model with a cache."""
    if request.param == "of the model":
        yield {"cache": InMemoryCache()}
        return
    set_llm_cache(InMemoryCache())
    yield {}
    set_llm_cache(None)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("ask", ["invoke", "ainvoke"], indirect=True)
async def test_answer_from_a_cache_costs_nothing(
    ask: Any,
    make_model: Any,
    gateway: Any,
    cached: dict[str, Any],
    *,
    langsmith: LangSmith,
    tracer: LangChainTracer,
    streaming: bool,
) -> None:
    gateway.script(Reply.text("Hello", usage={**USED, "cost_details": {"upstream_inference_cost": 0.01}}))
    model = make_model(streaming=streaming, **cached)
    counted = UsageMetadataCallbackHandler()
    with track_usage() as used:
        answers = [await ask(model, "Hello", config={"callbacks": [tracer, counted]}) for _ in range(3)]
    assert len(gateway.chat_requests) == 1
    assert (used.total.calls, float(used.total.cost)) == (1, 0.0125)
    assert [told["total_cost"] for told in langsmith.told()] == [0.0125, 0, 0]
    assert [answer.response_metadata["cost"] for answer in answers] == [0.0125, 0, 0]
    assert [answer.response_metadata["token_usage"]["cost"] for answer in answers] == [0.0125, 0, 0]
    assert ["cost_details" in answer.response_metadata for answer in answers] == [True, False, False]
    assert answers[2].usage_metadata["total_tokens"] == 150
    assert next(iter(counted.usage_metadata.values()))["total_tokens"] == 450


async def test_stream_asks_although_there_is_a_cache(
    ask_streamed: Any, make_model: Any, gateway: Any, cached: dict[str, Any]
) -> None:
    # LangChain's own streams never look into the cache, so each is a call and costs what it costs.
    gateway.script(_reply(), _reply())
    model = make_model(**cached)
    with track_usage() as used:
        answers = [await ask_streamed(model, "Hello") for _ in range(2)]
    assert [answer.response_metadata["cost"] for answer in answers] == [0.0125, 0.0125]
    assert used.total.calls == 2
