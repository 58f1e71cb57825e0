"""What asks a model about long texts: each request fits the window that the catalog tells, and none is needless."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, Settings, SummaryIndex, VectorStoreIndex, get_response_synthesizer
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import QueryEngineTool
from llama_index.core.utils import get_tokenizer

from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCodeEmbedding
from tests.li.model_entries import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilocode_gateway.local import LocalGateway
    from llama_index_kilocode import KiloCode

SMALL, LARGE = "small/model", "large/model"
WINDOW = 8_000
FOR_THE_ANSWER = 256
"""Tokens that the framework leaves free for the answer where `max_tokens` is not set."""
CHAT = "chat/completions"
FACT = "The ferry to Holm leaves at a quarter past seven. "
NETS = "Nets and barrels stood about on the grey quay. "
PARTS = [f"Part {number}. {NETS * 340}" for number in range(6)]
# In the last part, as refining at llama-index-core's floor forgets what a text said that it has cut itself; and often,
# so that one of them is whole wherever it is cut.
PARTS[5] = f"Part 5. {FACT}{NETS * 160}{FACT}{NETS * 160}{FACT}"
FERRY = "When does the ferry to Holm leave?"
NODES = [NodeWithScore(node=TextNode(text=part), score=1.0) for part in PARTS]
SYNC_AND_ASYNC = pytest.mark.parametrize("way", ["sync", "async"])
BOTH_MODELS = pytest.mark.parametrize("model", [SMALL, LARGE])


@pytest.fixture
def gateway(make_gateway: Callable[..., LocalGateway]) -> LocalGateway:
    return make_gateway(models=MODELS)


@pytest.fixture
def settings(make_llm: Any, gateway: LocalGateway, model: str) -> Iterator[KiloCode]:
    """Make one of the two models the framework's, with the gateway's embeddings."""
    Settings.llm = llm = make_llm(model=model)
    Settings.embed_model = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url)
    yield llm
    Settings._llm = Settings._embed_model = Settings._prompt_helper = None


def arrived(gateway: LocalGateway) -> list[int]:
    """Give the tokens of each request's messages, as they came over the wire."""
    count = get_tokenizer()
    return [
        sum(len(count(message["content"])) for message in request.json["messages"]) for request in gateway.chat_requests
    ]


async def synthesize(
    llm: KiloCode, mode: ResponseMode, way: str, nodes: list[NodeWithScore], *, streaming: bool = False
) -> str:
    """Answer over the nodes. The catalog is first asked when the engine is made, or before that inside a loop."""

    def engine() -> Any:
        return get_response_synthesizer(llm=llm, response_mode=mode, streaming=streaming, use_async=way == "async")

    if way == "sync":
        return await asyncio.to_thread(lambda: str(engine().synthesize(FERRY, nodes)))
    await llm.aload()
    response = await engine().asynthesize(FERRY, nodes)
    if not streaming or mode in (ResponseMode.CONTEXT_ONLY, ResponseMode.NO_TEXT):
        return str(response)
    return "".join([piece async for piece in response.async_response_gen()])


WHOLE, THIRD = sum(len(get_tokenizer()(part)) for part in PARTS), math.ceil(WINDOW / 3)
PACKED = math.ceil(WHOLE / (WINDOW - FOR_THE_ANSWER))
"""The fewest requests that the texts fit into on the small model; each holds the question too: one more may be due."""

# Mode -> requests on the large model, and the least and the most on the small one. Those that pack texts together
# leave a short end at each cut, which older frameworks send on its own.
REQUESTS: dict[ResponseMode, tuple[int, int, int]] = {
    ResponseMode.COMPACT: (1, PACKED, 2 * PACKED + 1),
    ResponseMode.REFINE: (6, 6, 6),
    ResponseMode.TREE_SUMMARIZE: (1, PACKED + 1, PACKED + 2),
    ResponseMode.SIMPLE_SUMMARIZE: (1, 1, 1),
    ResponseMode.ACCUMULATE: (6, 6, 6),
    ResponseMode.COMPACT_ACCUMULATE: (1, PACKED, 2 * PACKED),
    ResponseMode.GENERATION: (1, 1, 1),
    ResponseMode.NO_TEXT: (0, 0, 0),
    ResponseMode.CONTEXT_ONLY: (0, 0, 0),
}
NO_STREAMS = (ResponseMode.ACCUMULATE, ResponseMode.COMPACT_ACCUMULATE)
CASES = [*((mode, False) for mode in ResponseMode), *((mode, True) for mode in ResponseMode if mode not in NO_STREAMS)]
SAYS_NOTHING = (ResponseMode.GENERATION, ResponseMode.NO_TEXT)
CUTS = ResponseMode.SIMPLE_SUMMARIZE
"""The mode that makes one request of all texts, and cuts what does not fit."""


def test_these_are_all_modes() -> None:
    assert set(REQUESTS) == set(ResponseMode)


@SYNC_AND_ASYNC
@BOTH_MODELS
@pytest.mark.parametrize(("mode", "streaming"), CASES)
@pytest.mark.usefixtures("settings")
async def test_long_texts_in_every_response_mode(
    gateway: LocalGateway, model: str, mode: ResponseMode, streaming: bool, way: str
) -> None:
    answer = await synthesize(Settings.llm, mode, way, NODES, streaming=streaming)
    tokens, (exactly, least, most) = arrived(gateway), REQUESTS[mode]
    if model == LARGE:
        assert len(tokens) == exactly
    else:
        assert least <= len(tokens) <= most
        assert all(count <= WINDOW - FOR_THE_ANSWER for count in tokens)
    if mode in SAYS_NOTHING:
        assert "seven" not in answer
    elif not (mode == CUTS and model == SMALL):
        assert "a quarter past seven" in answer
        bodies = answer if mode == ResponseMode.CONTEXT_ONLY else "".join(str(r.json) for r in gateway.chat_requests)
        assert all(f"Part {number}." in bodies for number in range(6))


@SYNC_AND_ASYNC
@BOTH_MODELS
@pytest.mark.usefixtures("settings")
async def test_one_text_longer_than_the_window_is_refined_in_as_few_steps_as_fit(
    gateway: LocalGateway, model: str, way: str
) -> None:
    whole = NodeWithScore(node=TextNode(text="\n".join(PARTS)))
    answer = await synthesize(Settings.llm, ResponseMode.REFINE, way, [whole])
    tokens = arrived(gateway)
    assert "a quarter past seven" in answer
    assert len(tokens) == 1 if model == LARGE else PACKED <= len(tokens) <= PACKED + 1
    assert all(count > WINDOW - FOR_THE_ANSWER - THIRD for count in tokens[:-1]), "each step takes what it can"
    assert model == LARGE or max(tokens) <= WINDOW - FOR_THE_ANSWER


@BOTH_MODELS
@pytest.mark.usefixtures("settings")
async def test_room_for_the_answer_is_what_max_tokens_says(gateway: LocalGateway, make_llm: Any, model: str) -> None:
    await synthesize(make_llm(model=model, max_tokens=3_000), ResponseMode.COMPACT, "sync", NODES)
    assert max(arrived(gateway)) <= WINDOW - 3_000 if model == SMALL else len(gateway.chat_requests) == 1
    assert {request.json["max_tokens"] for request in gateway.chat_requests} == {3_000}


TEXTS = ["The ferry to Holm leaves at a quarter past seven.", "The bakery in Sund closes on Wednesdays."]


@pytest.fixture
def index(settings: KiloCode) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS])


async def query(engine: Any, way: str) -> str:
    return str(await asyncio.to_thread(engine.query, FERRY) if way == "sync" else await engine.aquery(FERRY))


@pytest.fixture
def tools(index: VectorStoreIndex) -> list[QueryEngineTool]:
    weather = SummaryIndex.from_documents([Document(text="It rains.")]).as_query_engine()
    return [
        QueryEngineTool.from_defaults(weather, name="weather", description="About the weather."),
        QueryEngineTool.from_defaults(index.as_query_engine(), name="places", description="About ferries."),
    ]


@SYNC_AND_ASYNC
@pytest.mark.parametrize("model", [SMALL, LARGE, "no/tools", "no/tools-schema"])
async def test_a_router_takes_one_request_more(tools: Any, gateway: LocalGateway, model: str, way: str) -> None:
    choice = '{"index": 2, "reason": "It is about a ferry."}'
    if model.startswith("no/"):
        gateway.script(Reply.text('[{"choice": 2, "reason": "It is about a ferry."}]'), path=CHAT)
    else:
        call = {"id": "c1", "name": "SingleSelection", "arguments": choice}
        gateway.script(Reply.text("", tool_calls=[call]), path=CHAT)
    assert "seven" in await query(RouterQueryEngine.from_defaults(tools), way)
    assert len(gateway.chat_requests) == 2
    assert ("tools" in gateway.chat_requests[0].json) == (not model.startswith("no/"))


@SYNC_AND_ASYNC
@pytest.mark.parametrize("model", [SMALL, LARGE, "no/tools"])
async def test_sub_questions_take_one_request_each_and_two_more(
    tools: Any, gateway: LocalGateway, settings: KiloCode, way: str
) -> None:
    question = f'{{"sub_question": "{FERRY}", "tool_name": "places"}}'
    gateway.script(Reply.text(f'```json\n{{"items": [{question}]}}\n```'), path=CHAT)
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=tools,
        question_gen=LLMQuestionGenerator.from_defaults(llm=settings),
        llm=settings,
        use_async=way == "async",
        verbose=False,
    )
    assert "seven" in await query(engine, way)
    assert len(gateway.chat_requests) == 3


@SYNC_AND_ASYNC
@BOTH_MODELS
@pytest.mark.usefixtures("settings")
async def test_a_summary_index_asks_as_often_as_its_texts_need(gateway: LocalGateway, model: str, way: str) -> None:
    engine = await asyncio.to_thread(SummaryIndex([node.node for node in NODES]).as_query_engine)
    assert "a quarter past seven" in await query(engine, way)
    most = 2 * PACKED + 1 if model == SMALL else 1
    assert len(gateway.chat_requests) <= most
    assert model == LARGE or max(arrived(gateway)) <= WINDOW


async def converse(engine: Any, kind: str, messages: list[str]) -> list[str]:
    if kind == "chat":
        return await asyncio.to_thread(lambda: [str(engine.chat(message)) for message in messages])
    if kind == "stream_chat":
        return await asyncio.to_thread(
            lambda: ["".join(engine.stream_chat(message).response_gen) for message in messages]
        )
    if kind == "achat":
        return [str(await engine.achat(message)) for message in messages]
    return [
        "".join([piece async for piece in (await engine.astream_chat(message)).async_response_gen()])
        for message in messages
    ]


KINDS = pytest.mark.parametrize("kind", ["chat", "achat", "stream_chat", "astream_chat"])


@KINDS
@BOTH_MODELS
@pytest.mark.parametrize("mode", ["context", "condense_question", "condense_plus_context", "best"])
async def test_chat_engines_over_an_index(
    index: VectorStoreIndex, gateway: LocalGateway, settings: KiloCode, mode: Any, kind: str
) -> None:
    engine = index.as_chat_engine(chat_mode=mode, llm=settings, similarity_top_k=1)
    gateway.clear()
    answers = await converse(engine, kind, [FERRY, FERRY])
    assert all("seven" in answer for answer in answers)
    assert len(engine.chat_history) == 4
    assert len(gateway.chat_requests) == (2 if mode == "context" else 3), "one to condense what follows up"


@KINDS
@BOTH_MODELS
async def test_a_long_conversation_fits_and_loses_nothing_needlessly(
    gateway: LocalGateway, settings: KiloCode, model: str, kind: str
) -> None:
    gateway.script(*[Reply.text("Yes.")] * 8, path=CHAT)
    messages = [f"Question {number}. {'What about the nets? ' * 300}" for number in range(8)]
    await converse(await asyncio.to_thread(SimpleChatEngine.from_defaults, llm=settings), kind, messages)
    last = gateway.chat_requests[-1].json["messages"]
    assert last[-1]["content"] == messages[-1]
    if model == LARGE:
        assert len(last) == 15
    else:
        assert len(last) > 1, "what fits is kept"
        assert max(arrived(gateway)) <= WINDOW
