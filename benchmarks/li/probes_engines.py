"""Probes of the framework's engines over a model: chat engines, routers, sub-questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.tools import QueryEngineTool

from benchmarks.li.bench import CHAT, QUERY, converse, probe
from benchmarks.probing import kept, watched
from benchmarks.replies import call, reply, say

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

GROUP = "Engines"
FACT = "The ferry leaves at seven."


def _judge_chat(bench: Bench, mode: Any, requests: int) -> str:
    model = bench.model()
    bench.script(*[say("At seven.")] * 3)
    with watched():
        index = VectorStoreIndex.from_documents([Document(text=FACT)], embed_model=MockEmbedding(embed_dim=3))
        engine = index.as_chat_engine(chat_mode=mode, llm=model)
    answers = converse(bench, engine, ["When does it leave?", "Really?"])
    if answers != ["At seven."] * 2:
        return "no: another answer"
    kept_facts = any(FACT in str(request.json) for request in bench.posts)
    return kept(kept_facts and bench.asked == requests, f"no: {bench.asked} requests")


@probe(GROUP, ways=CHAT)
def chat_context(bench: Bench) -> str:
    """Chat engine `context`."""
    return _judge_chat(bench, "context", 2)


@probe(GROUP, ways=CHAT)
def chat_condense_question(bench: Bench) -> str:
    """Chat engine `condense_question`."""
    return _judge_chat(bench, "condense_question", 3)


@probe(GROUP, ways=CHAT)
def chat_condense_plus_context(bench: Bench) -> str:
    """Chat engine `condense_plus_context`."""
    return _judge_chat(bench, "condense_plus_context", 3)


def _tools(model: Any) -> list[QueryEngineTool]:
    engines = {
        name: SummaryIndex.from_documents([Document(text=text)]).as_query_engine(llm=model)
        for name, text in {"weather": "It rains.", "places": FACT}.items()
    }
    return [
        QueryEngineTool.from_defaults(one, name=name, description=f"About {name}.") for name, one in engines.items()
    ]


def _judge_router(bench: Bench, model: Any, first: Any) -> str:
    bench.script(first, say("At seven."))
    response = bench.query(lambda: RouterQueryEngine.from_defaults(_tools(model), llm=model))
    asked = bench.posts[-1].json["messages"]
    return kept(str(response) == "At seven." and FACT in str(asked), "no: another engine")


_CHOICE = reply(
    call("SingleSelection", '{"index": 2, "reason": "It is about a place."}', index=0, id="a"), finish="tool_calls"
)


@probe(GROUP, ways=QUERY)
def router(bench: Bench) -> str:
    """`RouterQueryEngine`."""
    return _judge_router(bench, bench.model(), _CHOICE)


@probe(GROUP, ways=QUERY)
def router_untold(bench: Bench) -> str:
    """`RouterQueryEngine` chooses by a tool call, without being told that the model can."""
    model = bench.model(bare=True, is_chat_model=True)
    return _judge_router(bench, model, _CHOICE)


@probe(GROUP, ways=QUERY)
def router_without_tools(bench: Bench) -> str:
    """`RouterQueryEngine` over a model without tools."""
    first = say('[{"choice": 2, "reason": "It is about a place."}]')
    return _judge_router(bench, bench.model(is_function_calling_model=False), first)


@probe(GROUP, ways=QUERY)
def sub_questions(bench: Bench) -> str:
    """`SubQuestionQueryEngine`."""
    question = '{"sub_question": "When does it leave?", "tool_name": "places"}'
    bench.script(say(f'```json\n{{"items": [{question}]}}\n```'), say("At seven."), say("At seven o'clock."))
    model = bench.model()

    def make() -> Any:
        return SubQuestionQueryEngine.from_defaults(
            query_engine_tools=_tools(model),
            question_gen=LLMQuestionGenerator.from_defaults(llm=model),
            llm=model,
            use_async=False,
            verbose=False,
        )

    response = bench.query(make)
    return kept(str(response) == "At seven o'clock." and bench.asked == 3, f"no: {bench.asked} requests")  # noqa: PLR2004 - the ones scripted


@probe(GROUP, ways=QUERY)
def streaming_engine(bench: Bench) -> str:
    """A query engine that streams."""
    bench.script(say("At seven."))
    model = bench.model()
    index = SummaryIndex.from_documents([Document(text=FACT)])
    response = bench.query(lambda: index.as_query_engine(llm=model, streaming=True))

    async def read() -> str:
        return "".join([piece async for piece in response.async_response_gen()])

    with watched():
        text = bench.run(read()) if bench.way == "aquery" else "".join(response.response_gen)
    return kept(text == "At seven.", "no: another answer")
