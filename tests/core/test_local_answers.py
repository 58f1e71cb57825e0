"""What the local gateway answers by rule: contexts, tools, schemas, prompts that want a form."""

# ruff: noqa: E501 - the prompts stand as the frameworks write them

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.core.local_client import chat

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway

NUMBER = {"type": "integer"}
TEXT = {"type": "string"}


def tool(name: str, about: str = "", required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:
    needed = list(properties) if required is None else required
    parameters = {"type": "object", "properties": properties, "required": needed}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


WEATHER = tool("get_weather", "Tell the weather in a city.", city=TEXT)
ADD = tool("add", "Add two numbers.", a=NUMBER, b=NUMBER)
MULTIPLY = tool("multiply", "Multiply two numbers.", a=NUMBER, b=NUMBER)
REPORT = tool("WeatherReport", "A report of the weather.", city=TEXT, condition=TEXT)


def said(gateway: LocalGateway, user: Any, **fields: Any) -> str:
    content = chat(gateway, user, **fields).json["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


def called(gateway: LocalGateway, user: Any, tools: list[dict[str, Any]], **fields: Any) -> list[tuple[str, Any]]:
    message = chat(gateway, user, tools=tools, **fields).json["choices"][0]["message"]
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", ())
    ]


def filled(gateway: LocalGateway, user: str, schema: dict[str, Any]) -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return json.loads(said(gateway, user, response_format=form))


PAGE = """# A page

Some words before. The gateway is one endpoint in front of many models.

```sh
make demo
```

shows the main job. Without a key it runs on a local gateway.

## Configuration

| what | variable | default |
|---|---|---|
| address | `KILOCODE_BASE_URL` | `https://api.kilo.ai/api/gateway/` |

The environment variable that holds the API key is `KILOCODE_API_KEY`. Redirects are never followed.
- The list of models is kept for six hours, e.g. on disk.
"""
QA = "Context information is below.\n---------------------\nfile_path: page.md\n\n{page}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: {query}\nAnswer: "


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (
            "Which environment variable holds the API key?",
            "The environment variable that holds the API key is `KILOCODE_API_KEY`.",
        ),
        ("Are redirects followed?", "Redirects are never followed."),
        ("How long is the list of models kept?", "The list of models is kept for six hours, e.g. on disk."),
        ("What does make demo show?", "`make demo` shows the main job."),
        ("What is the default address?", "address | `KILOCODE_BASE_URL` | `https://api.kilo.ai/api/gateway/`"),
        ("Who painted the ceiling?", "The context does not say."),
    ],
)
def test_a_question_over_a_context_is_answered_from_it(gateway: LocalGateway, query: str, answer: str) -> None:
    assert said(gateway, QA.format(page=PAGE, query=query)) == answer


FRUIT = "The gateway's default model is kilo/auto.\n\nBananas are yellow."
FORMS = {
    "tree_summarize": "Context information from multiple sources is below.\n---------------------\n{c}\n---------------------\nGiven the information, answer the query.\nQuery: {q}\nAnswer: ",
    "refine": "The original query is as follows: {q}\nWe have provided an existing answer: Unknown.\nWe have the opportunity to refine it with some more context below.\n------------\n{c}\n------------\nGiven the new context, refine the original answer.\nRefined Answer: ",
    "chat refine": "Rules.\nNew Context: {c}\nQuery: {q}\nOriginal Answer: Unknown.\nNew Answer: ",
    "rag with question first": "Use the following pieces of retrieved context to answer the question.\nQuestion: {q} \nContext: {c} \nAnswer:",
    "rag with context first": "Answer the question based only on the following context:\n{c}\n\nQuestion: {q}",
    "tags": "<context>\n{c}\n</context>\n\nQuestion: {q}",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_prompts_with_a_context(gateway: LocalGateway, form: str) -> None:
    assert said(gateway, form.format(c=FRUIT, q="What colour are bananas?")) == "Bananas are yellow."


@pytest.mark.parametrize(
    "system",
    [
        "Use the context information below to assist the user.\n--------------------\n{c}\n--------------------\n",
        "A friendly conversation.\n\n  Here are the relevant documents for the context:\n\n  {c}\n\n  Instruction: Based on the above documents, answer.\n",
        "You answer questions. Use the following pieces of retrieved context. Keep it concise.\n\n{c}",
    ],
)
def test_a_context_in_the_system_message(gateway: LocalGateway, system: str) -> None:
    messages = [
        {"role": "system", "content": system.format(c=FRUIT)},
        {"role": "user", "content": "What colour are bananas?"},
    ]
    assert said(gateway, messages) == "Bananas are yellow."


def test_a_better_answer_survives_refining(gateway: LocalGateway) -> None:
    prompt = FORMS["refine"].replace("Unknown.", "Bananas are of a yellow colour.")
    assert (
        said(gateway, prompt.format(c="Cows are black.", q="What colour are bananas?"))
        == "Bananas are of a yellow colour."
    )


@pytest.mark.parametrize(
    ("user", "call"),
    [
        ("What is the weather in Paris?", ("get_weather", {"city": "Paris"})),
        ("what's the weather in rome", ("get_weather", {"city": "rome"})),
        ("Weather for San Francisco, CA please", ("get_weather", {"city": "San Francisco, CA"})),
        ("Multiply 6 by 7.", ("multiply", {"a": 6, "b": 7})),
        ("what is 3 plus 4", ("add", {"a": 3, "b": 4})),
        ("What is -3 + 4?", ("add", {"a": -3, "b": 4})),
        ("What is twelve times three?", ("multiply", {"a": 12, "b": 3})),
    ],
)
def test_the_tool_that_fits_is_called(gateway: LocalGateway, user: str, call: Any) -> None:
    assert called(gateway, user, [WEATHER, ADD, MULTIPLY]) == [call]


def test_tool_choice(gateway: LocalGateway) -> None:
    tools = [WEATHER, ADD]
    assert called(gateway, "Hello!", tools) == []
    assert called(gateway, "Weather in Oslo?", tools, tool_choice="none") == []
    assert len(called(gateway, "Hello!", tools, tool_choice="required")) == 1
    named = {"type": "function", "function": {"name": "add"}}
    assert called(gateway, "Weather in Oslo?", tools, tool_choice=named)[0][0] == "add"
    assert called(gateway, "Weather in Oslo?", tools, model="local/no-tools") == []


def test_after_a_result_the_answer_tells_it(gateway: LocalGateway) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "multiply", "arguments": "{}"}}]
    history: list[Any] = [{"role": "user", "content": "Multiply 6 by 7."}, {"role": "assistant", "tool_calls": calls}]
    result = {"role": "tool", "tool_call_id": "1", "content": "42"}
    assert said(gateway, [*history, result], tools=[ADD, MULTIPLY]) == "The result of multiply is 42."
    assert (
        said(gateway, [*history, result], tools=[MULTIPLY], tool_choice="required") == "The result of multiply is 42."
    )
    sentence = {**result, "content": "It is sunny in Paris."}
    assert said(gateway, [*history, sentence], tools=[MULTIPLY]) == "It is sunny in Paris."


def test_a_class_is_filled_once_the_tools_have_answered(gateway: LocalGateway) -> None:
    tools = [WEATHER, REPORT]
    history: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    assert called(gateway, history, tools, tool_choice="required") == [("get_weather", {"city": "Paris"})]
    calls = [{"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]
    history += [
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "It is sunny in Paris."},
    ]
    report = {"city": "Paris", "condition": "It is sunny in Paris."}
    assert called(gateway, history, tools, tool_choice="required") == [("WeatherReport", report)]
    calls = [{"id": "2", "type": "function", "function": {"name": "WeatherReport", "arguments": "{}"}}]
    history += [
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "2", "content": "Done it is."},
    ]
    assert called(gateway, history, tools, tool_choice="required") == []


def test_another_thing_asked_for_by_name_is_done_too(gateway: LocalGateway) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]
    history = [
        {"role": "user", "content": "Tell me the weather in Paris, and multiply 6 by 7."},
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "It is sunny."},
    ]
    assert called(gateway, history, [WEATHER, ADD, MULTIPLY]) == [("multiply", {"a": 6, "b": 7})]


@pytest.mark.parametrize(
    ("user", "properties", "arguments"),
    [
        ("What is the value of magic_function(3)?", {"input": NUMBER}, {"input": 3}),
        ("Do it.", {}, {}),
        ("Using the tool, generate a Pirate greeting.", {"answer_style": TEXT}, {"answer_style": "Pirate"}),
        (
            "Create a record for a company called '\u4f60\u597d\u554a\u96c6\u56e2'.",
            {"customer_name": TEXT},
            {"customer_name": "\u4f60\u597d\u554a\u96c6\u56e2"},
        ),
        ("What is (3 + 4) * 2?", {"expression": TEXT}, {"expression": "(3 + 4) * 2"}),
        (
            "Translate 'good day' to French.",
            {"text": TEXT, "language": TEXT},
            {"text": "good day", "language": "French"},
        ),
        ("Find news on Kilo.", {"query": TEXT}, {"query": "Find news on Kilo."}),
        (
            "Write to anna@example.org tomorrow",
            {"email": TEXT, "date": TEXT},
            {"email": "anna@example.org", "date": "tomorrow"},
        ),
        (
            "A flight from Oslo to Rome on 2026-05-04",
            {"origin": TEXT, "destination": TEXT, "day": {**TEXT, "format": "date"}},
            {"origin": "Oslo", "destination": "Rome", "day": "2026-05-04"},
        ),
        ("Please send it, not urgent", {"urgent": {"type": "boolean"}}, {"urgent": False}),
    ],
)
def test_arguments_are_drawn_from_the_text(
    gateway: LocalGateway, user: str, properties: dict[str, Any], arguments: Any
) -> None:
    got = chat(gateway, user, tools=[tool("do_it", "", **properties)], tool_choice="required")
    call = got.json["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == arguments
    assert "\\u" not in call["function"]["arguments"]


def test_arguments_stream_in_pieces(gateway: LocalGateway) -> None:
    got = chat(gateway, "What is the weather in Paris?", tools=[WEATHER], stream=True)
    parts = [
        call["function"]["arguments"]
        for event in got.events[:-1]
        for call in event["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert len(parts) >= 4
    assert json.loads("".join(parts)) == {"city": "Paris"}
    assert got.events[-3]["choices"][0]["finish_reason"] == "tool_calls"


PERSON = {
    "type": "object",
    "properties": {
        "name": {**TEXT, "description": "The first name"},
        "age": {**NUMBER, "description": "The age in years"},
        "city": {**TEXT, "description": "Where the person lives"},
    },
    "required": ["name", "age", "city"],
}


def test_a_schema_is_filled_with_what_the_text_tells(gateway: LocalGateway) -> None:
    expected = {"name": "Anna", "age": 36, "city": "Lisbon"}
    assert filled(gateway, "Anna is 36 and lives in Lisbon.", PERSON) == expected
    assert called(gateway, "Anna is 36 and lives in Lisbon.", [tool("Person", "", **PERSON["properties"])]) == [
        ("Person", expected)
    ]


def test_every_kind_of_schema(gateway: LocalGateway) -> None:
    schema = {
        "type": "object",
        "$defs": {
            "Song": {
                "type": "object",
                "properties": {"title": TEXT, "seconds": {**NUMBER, "minimum": 30, "maximum": 600}},
                "required": ["title", "seconds"],
            }
        },
        "properties": {
            "kind": {"const": "album"},
            "mood": {"enum": ["happy", "sad"]},
            "songs": {"type": "array", "items": {"$ref": "#/$defs/Song"}, "minItems": 2},
            "best": {"allOf": [{"$ref": "#/$defs/Song"}], "description": "The best one"},
            "rating": {"anyOf": [{"type": "number", "exclusiveMinimum": 4, "maximum": 5}, {"type": "null"}]},
            "label": {"type": ["string", "null"]},
            "codes": {"type": "array", "items": NUMBER, "maxItems": 0},
            "free": {"type": "boolean"},
            "released": {**TEXT, "format": "date"},
            "notes": {**TEXT, "minLength": 5, "maxLength": 10},
            "extra": {"type": "object"},
            "pair": {"type": "array", "prefixItems": [TEXT, {"type": "boolean"}]},
            "tag": {**TEXT, "default": "none"},
            "step": {**NUMBER, "multipleOf": 5},
        },
    }
    schema["required"] = list(schema["properties"])  # type: ignore[call-overload] # a dict as it stands above
    got = filled(gateway, "Make up a sad album.", schema)
    assert set(got) == set(schema["required"])
    assert (got["kind"], got["mood"], got["label"], got["codes"], got["tag"]) == ("album", "sad", None, [], "none")
    assert all(isinstance(song["title"], str) and 30 <= song["seconds"] <= 600 for song in [*got["songs"], got["best"]])
    assert len(got["songs"]) == 2
    assert got["rating"] is None or 4 < got["rating"] <= 5
    assert isinstance(got["free"], bool)
    assert len(got["released"]) == 10
    assert 5 <= len(got["notes"]) <= 10
    assert got["extra"] == {}
    assert [type(part) for part in got["pair"]] == [str, bool]
    assert got["step"] % 5 == 0


def test_optional_fields_follow_the_text(gateway: LocalGateway) -> None:
    joke = {
        "type": "object",
        "properties": {"setup": TEXT, "punchline": {"anyOf": [TEXT, {"type": "null"}], "default": None}},
        "required": ["setup"],
    }
    assert filled(gateway, "A joke about cats, include the punchline.", joke)["punchline"]
    assert filled(gateway, "A joke about cats, no punchline.", joke).get("punchline") is None
    defaulted = tool("add", "Add numbers.", ["a"], a=NUMBER, b={**NUMBER, "default": 0})
    assert called(gateway, "What is 3 plus 4?", [defaulted]) == [("add", {"a": 3, "b": 4})]


def test_a_schema_that_contains_itself_ends(gateway: LocalGateway) -> None:
    node = {
        "type": "object",
        "properties": {"value": TEXT, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
        "required": ["value", "children"],
    }
    got = filled(gateway, "A tree", {"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert isinstance(got["children"], list)


def test_json_mode_gives_the_keys_that_are_named_and_streams_them(gateway: LocalGateway) -> None:
    user = "Tell me a joke about cats. Return the result as JSON with the `setup` and `punchline` keys."
    got = chat(gateway, user, response_format={"type": "json_object"}, stream=True)
    assert set(json.loads(got.text)) == {"setup", "punchline"}
    assert len(got.events) > 6
    assert json.loads(said(gateway, "Anything", response_format={"type": "json_object"}))


CHOICES = "Some choices are given below. It is provided in a numbered list (1 to 2), where each item in the list corresponds to a summary.\n---------------------\n(1) Useful for summaries of apples\n\n(2) Useful for facts on bananas\n---------------------\nUsing only the choices above and not prior knowledge, return the choice that is most relevant to the question: 'What colour are bananas?'\n"


def test_selectors(gateway: LocalGateway) -> None:
    assert (
        json.loads(said(gateway, f"{CHOICES}\n\nThe output should be ONLY JSON formatted as a JSON instance."))[0][
            "choice"
        ]
        == 2
    )
    single = tool("SingleSelection", "A single selection of a choice.", index=NUMBER, reason=TEXT)
    assert called(gateway, CHOICES, [single], tool_choice="required")[0][1]["index"] == 2


def test_sub_questions(gateway: LocalGateway) -> None:
    example = '# Example 1\n<Tools>\n```json\n{"other": "x"}\n```\n<User Question>\nWhat?\n<Output>\n```json\n{"items": []}\n```\n'
    prompt = f'Given a user question, and a list of tools, output a list of relevant sub-questions in json markdown:\n\n{example}# Example 2\n<Tools>\n```json\n{{"apples": "Knows apples", "bananas": "Knows bananas"}}\n```\n\n<User Question>\nHow do bananas grow?\n\n<Output>\n'
    answer = said(gateway, prompt)
    assert answer.startswith("```json\n")
    assert json.loads(answer.strip("`json\n"))["items"] == [
        {"sub_question": "How do bananas grow?", "tool_name": "bananas"}
    ]


def test_react(gateway: LocalGateway) -> None:
    parameters = json.dumps(MULTIPLY["function"]["parameters"])
    system = f"> Tool Name: multiply\nTool Description: Multiply two numbers\nTool Args: {parameters}\n\nThought: ...\nAction: tool name\nAction Input: the input\n"
    history = [{"role": "system", "content": system}, {"role": "user", "content": "What is 6 times 7?"}]
    step = said(gateway, history)
    assert "\nAction: multiply\nAction Input: " in step
    assert json.loads(step.rpartition("Action Input: ")[2]) == {"a": 6, "b": 7}
    history += [{"role": "assistant", "content": step}, {"role": "user", "content": "Observation: 42"}]
    assert said(gateway, history).endswith("\nAnswer: 42")
    assert "\nAnswer: " in said(gateway, [history[0], {"role": "user", "content": "Hello"}])


def test_a_schema_in_prose(gateway: LocalGateway) -> None:
    prompt = f"Anna is 36 and lives in Lisbon.\n\nHere's a JSON schema to follow:\n{json.dumps(PERSON)}\n\nOutput a valid JSON object but do not repeat the schema."
    assert json.loads(said(gateway, prompt)) == {"name": "Anna", "age": 36, "city": "Lisbon"}


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (
            "Given the conversation and a follow up question, rephrase.\n\nChat History:\na\nFollow Up Input: And pears?\nStandalone question:",
            "And pears?",
        ),
        (
            "A question is provided below.\n---------------------\nWhere do bananas grow?\n---------------------\nProvide keywords in the following format: 'KEYWORDS: <keywords>'",
            "KEYWORDS: bananas, grow",
        ),
        (
            "Generate 2 search queries, one on each line, related to the input.\nQuery: Bananas?\nQueries:",
            "Bananas?\nWhat is known about: Bananas?",
        ),
        (
            "A list of documents is shown below. ... relevance score ...\nLet's try this now: \n\nDocument 1:\nApples are red.\n\nDocument 2:\nBananas are yellow.\nQuestion: What colour are bananas?\nAnswer:\n",
            "Doc: 2, Relevance: 9",
        ),
        ("Say hello.", "Hello."),
        ("What is 17 times 3?", "17 * 3 is 51."),
    ],
)
def test_other_prompts(gateway: LocalGateway, prompt: str, answer: str) -> None:
    assert said(gateway, prompt) == answer


def test_anything_else_is_answered_with_its_topic(gateway: LocalGateway) -> None:
    answer = said(gateway, "Why is the sky blue?")
    assert "no model" in answer
    assert "sky blue" in answer
    parts = [{"type": "text", "text": "Which colour?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert "Which colour?" in said(gateway, [{"role": "user", "content": parts}])
    assert said(gateway, [{"role": "user", "content": ""}])


def test_stop_sequences_and_limits(gateway: LocalGateway) -> None:
    whole = said(gateway, "Why is the sky blue?")
    assert said(gateway, "Why is the sky blue?", stop=["sky"]) == whole.partition("sky")[0]
    assert said(gateway, "Why is the sky blue?", stop="sky") == whole.partition("sky")[0]
    for name in ("max_tokens", "max_completion_tokens"):
        got = chat(gateway, "Why is the sky blue?", **{name: 3}).json
        assert got["choices"][0]["finish_reason"] == "length"
        assert whole.startswith(got["choices"][0]["message"]["content"])
        assert got["usage"]["completion_tokens"] == 3
