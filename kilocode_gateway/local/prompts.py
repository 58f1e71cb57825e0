"""Prompts that ask in words for an answer in a certain form: selectors, sub-questions, ReAct, schemas in prose, ..."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local import toolbox
from kilocode_gateway.local.evidence import Evidence
from kilocode_gateway.local.filling import fill
from kilocode_gateway.local.toolbox import Tool
from kilocode_gateway.local.words import STOP, stem, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHOICE = re.compile(r"^\s*\((\d+)\)\s*(.*?)(?=^\s*\(\d+\)|^\s*-{6,}|\Z)", re.MULTILINE | re.DOTALL)
_ABOUT = re.compile(r"question: '(.*?)'\n", re.DOTALL)
_REACT_TOOL = re.compile(
    r"> Tool Name: (?P<name>[^\n]+)\nTool Description: (?P<about>.*?)\nTool Args: (?P<args>\{[^\n]*\})", re.DOTALL
)
_OBSERVATION = re.compile(r"^\s*Observation:\s*(.*)", re.DOTALL)
_FOLLOW_UP = re.compile(
    r"(?:^|\n)[ \t]*<?Follow[ -]Up (?:Message|Input|Question)(?:>|:)\s*(.*?)\s*<?Standalone question>?:?\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_DOCUMENT = re.compile(r"Document (\d+):\n(.*?)(?=\nDocument \d+:\n|\nQuestion:|\Z)", re.DOTALL)
_REASON = "It has the most words in common with the question."
_DONE = "Thought: I can answer without using any more tools. I'll use the user's language to answer\nAnswer: "
_NEEDED = (
    "Thought: The current language of the user is: English. I need to use a tool to help me answer the question.\n"
)
_SAY = re.compile(
    r"(?:please\s+)?(?:say|repeat|reply with|respond with|answer with|echo)\b\s*:?\s*(?:exactly\s*:?\s*)?"
    r"[\"'`]?(.+?)[\"'`]?\s*$",
    re.IGNORECASE,
)
_YES = 0.34
"""The share of a statement's words that must stand in the context for a YES."""


def hints(user: str) -> dict[str, Any]:
    """Give the values that a prompt of choices or of tools decides, by the name of the property they belong to."""
    if "choices are given below" in user and (chosen := _chosen(user)):
        return {"index": chosen[0], "choice": chosen[0], "reason": _REASON}
    if "sub-questions" in user and (asked := _sub_question(user)):
        return asked
    return {}


def special(user: str, system: str, history: Iterable[dict[str, Any]]) -> str | None:
    """Answer a prompt that wants a certain form; None for any other."""
    for rule in (_select, _divide, _condense, _keywords, _rank, _queries, _judge, _schema):
        if (found := rule(user)) is not None:
            return found
    everything = f"{system}\n{user}"
    if "Action Input:" in everything and "Thought:" in everything:
        return _react(everything, user, list(history))
    return None


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Give the JSON objects that stand in a text, outermost first."""
    decoder = json.JSONDecoder()
    position = text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            if isinstance(value, dict):
                yield value
        position = text.find("{", end)


def _overlap(text: str, question: str) -> int:
    said = {stem(word) for word in words(text)}
    return sum(1 for part in {stem(word) for word in words(question) if word not in STOP} if part in said)


def _best(options: list[tuple[int, str]], question: str) -> list[int]:
    """Order the numbers of the options by the words they share with the question; those with none are left out."""
    scored = sorted(((-_overlap(text, question), number) for number, text in options))
    return [number for score, number in scored if score] or [number for _, number in scored[:1]]


def _chosen(user: str) -> list[int]:
    asked = _ABOUT.search(user)
    listed = user.partition("Using only the choices")[0]
    options = [(int(match[1]), match[2]) for match in _CHOICE.finditer(listed)]
    return _best(options, asked[1] if asked else user.rpartition("\n")[2]) if options else []


def _select(user: str) -> str | None:
    if "choices are given below" not in user or not (chosen := _chosen(user)):
        return None
    if "ANSWER: <number" in user:
        return f"ANSWER: {chosen[0]}\n{_REASON}"
    return json.dumps([{"choice": chosen[0], "reason": _REASON}])


def _sub_question(user: str) -> dict[str, Any] | None:
    """Give the question and the tool it goes to."""
    tail = user.rpartition("<Tools>")[2]
    tools = next(json_objects(tail), None)
    asked = re.search(r"<User Question>\s*(.*?)\s*(?:<Output>|\Z)", tail, re.DOTALL)
    if not tools or not asked:
        return None
    numbered = list(enumerate(tools.items()))
    place = _best([(index, f"{name} {about}") for index, (name, about) in numbered], asked[1])[0]
    return {"sub_question": asked[1], "tool_name": numbered[place][1][0]}


def _divide(user: str) -> str | None:
    if "list of relevant sub-questions" not in user or not (asked := _sub_question(user)):
        return None
    return f"```json\n{json.dumps({'items': [asked]}, indent=4, ensure_ascii=False)}\n```"


def _condense(user: str) -> str | None:
    match = _FOLLOW_UP.search(user)
    return match[1] if match else None


def _keywords(user: str) -> str | None:
    if "KEYWORDS:" not in user:
        return None
    parts = re.split(r"-{6,}", user)
    said = [word for word in words(parts[1] if len(parts) > 1 else user) if word not in STOP]
    return f"KEYWORDS: {', '.join(list(dict.fromkeys(said))[:10])}"


def _rank(user: str) -> str | None:
    if "list of documents is shown below" not in user or "elevance" not in user:
        return None
    tail = user.rpartition("Let's try this now:")[2]
    asked = re.search(r"Question:\s*(.*?)\n", tail)
    options = [(int(match[1]), match[2]) for match in _DOCUMENT.finditer(tail)]
    if not asked or not options:
        return None
    return "\n".join(
        f"Doc: {number}, Relevance: {max(1, 9 - place)}" for place, number in enumerate(_best(options, asked[1]))
    )


def _queries(user: str) -> str | None:
    match = re.search(r"[Gg]enerate (\d+) (?:search )?queries, one on each line", user)
    asked = re.search(r"(?:^|\n)Query:\s*(.+)", user)
    if not match or not asked:
        return None
    forms = ("{}", "What is known about: {}", "{} Explain.", "Details: {}")
    return "\n".join(forms[index % len(forms)].format(asked[1].strip()) for index in range(int(match[1])))


def _judge(user: str) -> str | None:
    """Say YES where the context has the words of what is to be judged."""
    if not re.search(r"\bYES\b[^.\n]{0,20}\bNO\b", user):
        return None
    judged = re.search(
        r"(?:Information|Response|Query and Response)\s*:\s*(.*?)\n\s*(?:Context)\s*:\s*(.*?)(?:\n\s*Answer\b|\Z)",
        user.rpartition("examples")[2],
        re.DOTALL,
    )
    if not judged:
        return None
    wanted = {stem(word) for word in words(judged[1]) if word not in STOP}
    return "YES" if wanted and _overlap(judged[2], judged[1]) / len(wanted) >= _YES else "NO"


def _schema(user: str) -> str | None:
    """Fill a JSON schema that stands in the prompt."""
    if "schema" not in user.lower():
        return None
    found = [one for one in json_objects(user) if isinstance(one.get("properties"), dict)]
    if not found:
        return None
    said = re.split(r"Here's a JSON schema|The output should be formatted|Here is the output schema|JSON schema", user)
    text = said[0] if said[0].strip() else re.sub(r"```.*?```", " ", said[-1], flags=re.DOTALL)
    return json.dumps(fill(found[-1], Evidence(text, hints(user))), ensure_ascii=False)


def _react(everything: str, user: str, history: list[dict[str, Any]]) -> str:
    """Take one step of a ReAct loop: call a tool once, then answer with what it gave."""
    if match := _OBSERVATION.match(user):
        return f"{_DONE}{match[1].strip()}"
    text = next((str(message["content"]) for message in reversed(history) if message.get("role") == "user"), user)
    tools = []
    for match in _REACT_TOOL.finditer(everything):
        try:
            tools.append(Tool(match["name"].strip(), match["about"], json.loads(match["args"])))
        except ValueError:
            continue
    if tool := toolbox.best(tools, text):
        arguments = json.dumps(tool.call(Evidence(text))["arguments"], ensure_ascii=False)
        return f"{_NEEDED}Action: {tool.name}\nAction Input: {arguments}"
    return f"{_DONE}{plain(text)}"


def plain(text: str) -> str:
    """Answer in a plain sentence that says what was asked; sums and what is to be said are done."""
    line = " ".join(text.split())
    if match := _SAY.match(line):
        said = match[1].rstrip(".!\"'` ")
        return f"{said[:1].upper()}{said[1:]}." if said else "Yes."
    if found := _sum(line):
        return found
    if not line:
        return "There was nothing to answer."
    if re.fullmatch(r"(?:hello|hi|hey|good (?:morning|day|evening))\b.{0,12}", line, re.IGNORECASE):
        return "Hello! This is the local gateway, which answers by rule."
    shown = line if len(line) <= 90 else f"{line[:90].rsplit(' ', 1)[0]} ..."  # noqa: PLR2004 - a short sentence
    return f"The local gateway, which is no model, was asked: {shown}"


def _sum(line: str) -> str | None:
    match = (
        re.fullmatch(r"[\d\s.()+\-*/]{3,60}", expression) if (expression := Evidence(line).expression or "") else None
    )
    two = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([-+*/])\s*(-?\d+(?:\.\d+)?)", expression.strip()) if match else None
    if not two or (two[2] == "/" and not float(two[3])):
        return None
    first, second = float(two[1]), float(two[3])
    value = {"+": first + second, "-": first - second, "*": first * second, "/": first / second if second else 0.0}[
        two[2]
    ]
    return f"{two[1]} {two[2]} {two[3]} is {value:.10g}."
