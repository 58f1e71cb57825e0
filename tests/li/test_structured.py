"""Structured output: by tool, by schema, by instruction; whole and streamed; what came is read or said to be wrong."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import openai
import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from kilocode_gateway.errors import MalformedReplyError
from kilocode_gateway.local import Reply
from llama_index_kilocode import KiloCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

PROMPT = PromptTemplate("Tell me about {place}.")
CHAT = "chat/completions"
LISBON = '{"name": "Lisbon", "people": 500000}'


class City(BaseModel):
    """A city."""

    name: str
    people: int


KINDS = ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"]


@pytest.fixture(params=KINDS)
def predict(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give each of the four ways; each gives every object that comes."""
    method = request.param

    async def run(llm: KiloCode, prompt: Any = PROMPT, **settings: Any) -> list[Any]:
        settings.setdefault("place", "Lisbon")
        ask = getattr(llm, method)
        if method == "structured_predict":
            return [ask(City, prompt, **settings)]
        if method == "astructured_predict":
            return [await ask(City, prompt, **settings)]
        if method == "stream_structured_predict":
            return list(ask(City, prompt, **settings))
        return [one async for one in await ask(City, prompt, **settings)]

    return run


def call(arguments: str, **settings: Any) -> Reply:
    return Reply.text("", tool_calls=[{"id": "c1", "name": "City", "arguments": arguments}], **settings)


def body(gateway: LocalGateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.chat_requests[-1].json
    return found


async def test_by_a_required_tool_call(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(call(LISBON))
    assert (await predict(llm))[-1] == City(name="Lisbon", people=500000)
    assert body(gateway)["tool_choice"] == "required"
    function = body(gateway)["tools"][0]["function"]
    assert (function["name"], function["description"]) == ("City", "A city.")
    assert function["parameters"]["required"] == ["name", "people"]
    assert body(gateway)["messages"] == [{"role": "user", "content": "Tell me about Lisbon."}]
    assert not {"parallel_tool_calls", "response_format"} & set(body(gateway))


async def test_the_local_gateway_fills_the_schema_by_itself(predict: Any, llm: KiloCode) -> None:
    assert isinstance((await predict(llm))[-1], City)


async def test_the_object_grows_while_it_streams(llm: KiloCode, gateway: LocalGateway) -> None:
    pieces = [LISBON[place : place + 4] for place in range(0, len(LISBON), 4)]
    first = {"index": 0, "id": "c1", "function": {"name": "City", "arguments": ""}}
    calls = [first, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"tool_calls": [one]}}]} for one in calls]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    gateway.script(Reply.chunks([*chunks, end], split="event"))
    grown = list(llm.stream_structured_predict(City, PROMPT, place="Lisbon"))
    assert grown[-1] == City(name="Lisbon", people=500000)
    names = [one.name for one in grown]
    assert len(grown) > 3
    assert names == sorted(names, key=len)
    assert names[0] != "Lisbon"


@pytest.mark.parametrize(
    "text",
    [
        LISBON,
        f"```json\n{LISBON}\n```",
        f"```\n{LISBON}\n```",
        f"Here it is:\n{LISBON}\nThat is all.",
        f'<think>Is it {{"name": "Porto", "people": 1}}?</think>\n{LISBON}',
    ],
)
async def test_by_schema(predict: Any, make_llm: Any, gateway: LocalGateway, text: str) -> None:
    gateway.script(Reply.text(text))
    llm = make_llm(should_use_structured_outputs=True)
    assert (await predict(llm))[-1] == City(name="Lisbon", people=500000)
    form = body(gateway)["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "City")
    assert form["json_schema"]["schema"] == City.model_json_schema()
    assert "strict" not in form["json_schema"]
    assert not {"tools", "tool_choice"} & set(body(gateway))


async def test_fenced_json_grows_as_well(make_llm: Any, gateway: LocalGateway) -> None:
    text = f"Here:\n```json\n{LISBON}\n```\nAs {{asked}}."
    pieces = [text[place : place + 5] for place in range(0, len(text), 5)]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": one}}]} for one in pieces]
    gateway.script(Reply.chunks([*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]))
    grown = list(make_llm(should_use_structured_outputs=True).stream_structured_predict(City, PROMPT, place="Lisbon"))
    assert len(grown) > 3
    assert grown[-1] == City(name="Lisbon", people=500000)


async def test_line_breaks_in_strings_are_taken(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(call('{"name": "Lis\nbon", "people": 1}'))
    assert (await predict(llm))[-1] == City(name="Lis\nbon", people=1)


@pytest.mark.parametrize("text", [LISBON, f"```json\n{LISBON}\n```"])
async def test_by_instruction(predict: Any, make_llm: Any, gateway: LocalGateway, text: str) -> None:
    gateway.script(Reply.text(text))
    llm = make_llm(model="nobody/knows", is_function_calling_model=False)
    assert (await predict(llm))[-1] == City(name="Lisbon", people=500000)
    assert not {"tools", "tool_choice", "response_format"} & set(body(gateway))
    asked = body(gateway)["messages"][-1]["content"]
    assert asked.startswith("Tell me about Lisbon.")
    assert '"people"' in asked


BY_THE_CATALOG = [
    (["tools", "structured_outputs", "response_format"], {"tools", "tool_choice"}, None),
    (["structured_outputs", "response_format"], {"response_format"}, "json_schema"),
    (["response_format"], {"response_format"}, "json_object"),
    (["temperature"], set(), None),
]


@pytest.mark.parametrize(("parameters", "sent", "form"), BY_THE_CATALOG)
async def test_the_catalog_says_how_an_object_is_asked_for(
    predict: Any, make_gateway: Any, parameters: list[str], sent: set[str], form: str | None
) -> None:
    model = {"id": "vendor/one", "context_length": 9_000, "supported_parameters": parameters}
    gateway = make_gateway(models=[model])
    gateway.script(call(LISBON) if "tools" in parameters else Reply.text(f"```json\n{LISBON}\n```"), path=CHAT)
    llm = KiloCode("vendor/one", api_key="test-key-1", api_base=gateway.base_url)
    await llm.aload()
    assert (await predict(llm))[-1] == City(name="Lisbon", people=500000)
    asked = gateway.chat_requests[-1].json
    assert {"tools", "tool_choice", "response_format"} & set(asked) == sent
    assert asked.get("response_format", {}).get("type") == form
    instructed = form == "json_object" or not sent
    assert ("valid against this JSON schema" in asked["messages"][-1]["content"]) == instructed


class Wish(BaseModel):
    """A wish that may be empty."""

    text: str = "none"


@pytest.mark.parametrize("arguments", ["", " ", "null"])
async def test_a_call_without_arguments_is_an_object_of_defaults(
    llm: KiloCode, gateway: LocalGateway, arguments: str
) -> None:
    gateway.script(*[Reply.text("", tool_calls=[{"id": "c1", "name": "Wish", "arguments": arguments}])] * 4)
    assert llm.structured_predict(Wish, PROMPT, place="Lisbon") == Wish()
    assert await llm.astructured_predict(Wish, PROMPT, place="Lisbon") == Wish()
    assert list(llm.stream_structured_predict(Wish, PROMPT, place="Lisbon")) == [Wish()]
    pieces = await llm.astream_structured_predict(Wish, PROMPT, place="Lisbon")
    assert [piece async for piece in pieces] == [Wish()]


async def test_a_choice_of_tool_without_tools_is_never_sent(predict: Any, make_llm: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.text(LISBON))
    await predict(make_llm(is_function_calling_model=False), llm_kwargs={"tool_choice": "required"})
    assert not {"tools", "tool_choice"} & set(body(gateway))


async def test_settings_of_the_call_travel(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    kwargs = {"temperature": 0.1, "tool_choice": {"type": "function", "function": {"name": "City"}}}
    gateway.script(call(LISBON))
    await predict(llm, llm_kwargs=kwargs)
    assert body(gateway)["temperature"] == 0.1
    assert body(gateway)["tool_choice"] == {"type": "function", "function": {"name": "City"}}
    assert set(kwargs) == {"temperature", "tool_choice"}


async def test_json_in_the_text_although_a_tool_was_asked_for(
    predict: Any, llm: KiloCode, gateway: LocalGateway
) -> None:
    gateway.script(Reply.text(f"```json\n{LISBON}\n```"))
    assert (await predict(llm))[-1] == City(name="Lisbon", people=500000)


async def test_a_cut_reply_is_an_error_that_keeps_what_came(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(call('{"name": "Lis', finish_reason="length"))
    with pytest.raises(MalformedReplyError, match="max_tokens") as caught:
        await predict(llm)
    assert isinstance(caught.value, openai.APIError)
    assert caught.value.text == '{"name": "Lis'
    assert not caught.value.retryable


async def test_prose_is_an_error_that_keeps_it(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("Lisbon is a nice city."))
    with pytest.raises(MalformedReplyError, match="nice city") as caught:
        await predict(llm)
    assert caught.value.text == "Lisbon is a nice city."


async def test_a_refusal_is_an_error_with_its_text(predict: Any, llm: KiloCode, gateway: LocalGateway) -> None:
    choice = {"index": 0, "delta": {"refusal": "I must not."}, "message": {"content": None, "refusal": "I must not."}}
    reply = {"id": "gen-1", "model": "m", "choices": [{**choice, "finish_reason": "stop"}]}
    gateway.script(Reply.raw(200, reply, {"content-type": "application/json"}))
    with pytest.raises(MalformedReplyError, match=r"refused.*I must not"):
        await predict(llm)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"name": "Lisbon", "people": "many"}', r"City.*people: Input should be a valid integer"),
        ('{"name": ["Lisbon"]}', r"name: .*people: Field required"),
        ('{"town": {}}', r"name: Field required.*people: Field required"),
        ("[1, 2]", r"City"),
        ('{"name": "Lisbon" "people": 3}', r"JSON"),
    ],
)
async def test_an_object_that_does_not_fit_is_an_error_that_keeps_it(
    predict: Any, llm: KiloCode, gateway: LocalGateway, arguments: str, said: str
) -> None:
    gateway.script(call(arguments))
    with pytest.raises(MalformedReplyError, match=said) as caught:
        await predict(llm)
    assert isinstance(caught.value, openai.APIError)
    assert (caught.value.text, caught.value.retryable) == (arguments, False)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "pydantic.dev" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).text == arguments


def test_what_grows_need_not_fit_until_it_is_whole(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(call('{"name": "Lisbon", "people": "many"}'))
    grown = []
    with pytest.raises(MalformedReplyError, match="people"):
        grown.extend(llm.stream_structured_predict(City, PROMPT, place="Lisbon"))
    gateway.script(call('{"name": "Lisbon", "people": "many"}'))
    for one in llm.stream_structured_predict(City, PROMPT, place="Lisbon"):
        assert one.name.startswith("L")
        break


def test_not_every_wrong_field_is_listed(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(Reply.text("", tool_calls=[{"id": "c1", "name": "Box", "arguments": f'{{"items": {[{}] * 20}}}'}]))
    with pytest.raises(MalformedReplyError, match=r"items\.0\.name: Field required.*and 35 more") as caught:
        llm.structured_predict(Box, PROMPT, place="Lisbon")
    assert len(str(caught.value)) < 500


async def test_a_structured_llm_says_it_as_well(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(*[call('{"name": "Lisbon"}')] * 2)
    with pytest.raises(MalformedReplyError, match="people"):
        llm.as_structured_llm(City).complete("Lisbon?")
    with pytest.raises(MalformedReplyError, match="people"):
        await llm.as_structured_llm(City).acomplete("Lisbon?")


async def test_as_structured_llm(llm: KiloCode, gateway: LocalGateway) -> None:
    structured = llm.as_structured_llm(City)
    gateway.script(*[call(LISBON)] * 6)
    lisbon = City(name="Lisbon", people=500000)
    question = [ChatMessage(role="user", content='Lisbon, as {"a": 1}?')]
    assert structured.chat(question).raw == lisbon
    assert body(gateway)["messages"][-1]["content"].startswith("Lisbon, as")
    assert structured.complete("Lisbon?").raw == lisbon
    assert [response.raw for response in structured.stream_chat(question)][-1] == lisbon
    assert (await structured.achat(question)).raw == lisbon
    assert (await structured.acomplete("Lisbon?")).raw == lisbon
    assert [response.raw async for response in await structured.astream_chat(question)][-1] == lisbon


def test_the_frameworks_own_program(llm: KiloCode, gateway: LocalGateway) -> None:
    gateway.script(*[call(LISBON)] * 2)
    program = FunctionCallingProgram.from_defaults(
        output_cls=City, prompt_template_str="Tell me about {place}.", llm=llm
    )
    assert program(place="Lisbon") == City(name="Lisbon", people=500000)
    assert list(program.stream_call(place="Lisbon"))[-1] == City(name="Lisbon", people=500000)


def test_the_text_mode_of_the_framework(make_llm: Any, gateway: LocalGateway) -> None:
    gateway.script(Reply.text(LISBON))
    llm = make_llm(pydantic_program_mode=PydanticProgramMode.LLM)
    assert llm.structured_predict(City, PROMPT, place="Lisbon").name == "Lisbon"
    assert "tools" not in body(gateway)


def test_the_system_prompt_stands_first(make_llm: Any, gateway: LocalGateway) -> None:
    gateway.script(call(LISBON))
    prompt = ChatPromptTemplate(message_templates=[ChatMessage(role="user", content="About {place}.")])
    make_llm(system_prompt="Be exact.").structured_predict(City, prompt, place="Lisbon")
    assert [message["role"] for message in body(gateway)["messages"]] == ["system", "user"]


class Box(BaseModel):
    """A box of [odd] name."""

    items: list[City]


def test_names_that_no_tool_may_have(llm: KiloCode, gateway: LocalGateway) -> None:
    odd = type("Odd[int]", (City,), {"__doc__": None})
    gateway.script(Reply.text("", tool_calls=[{"id": "c1", "name": "Odd_int_", "arguments": LISBON}]))
    assert llm.structured_predict(odd, PROMPT, place="Lisbon").name == "Lisbon"
    assert body(gateway)["tools"][0]["function"]["name"] == "Odd_int_"


def test_nested_objects_grow(llm: KiloCode, gateway: LocalGateway) -> None:
    arguments = f'{{"items": [{LISBON}, {LISBON}]}}'
    gateway.script(Reply.text("", tool_calls=[{"id": "c1", "name": "Box", "arguments": arguments}]))
    *_, last = llm.stream_structured_predict(Box, PROMPT, place="two cities")
    assert last == Box(items=[City(name="Lisbon", people=500000)] * 2)
