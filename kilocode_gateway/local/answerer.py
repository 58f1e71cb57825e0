"""Finds an answer by rule: it is no model, but what it says fits question, context, tools and schema."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from kilocode_gateway.local import prompts, reading, toolbox
from kilocode_gateway.local.chat import Answer
from kilocode_gateway.local.evidence import Evidence
from kilocode_gateway.local.filling import fill
from kilocode_gateway.local.metering import content_text
from kilocode_gateway.local.words import cut_to_tokens

_SENTENCE_END = (".", "!", "?", "。", "`", ")")


@dataclass(slots=True)
class Conversation:
    """What matters of a request's messages."""

    system: str = ""
    user: str = ""
    """The last user message."""
    results: list[tuple[str, str]] = field(default_factory=list)
    """The tools' results since then: name and text."""
    called: set[str] = field(default_factory=set)
    """The tools called since then."""
    answered: bool = False
    """Whether the last message is a tool's result."""
    earlier: str = ""
    """The last assistant text before the user's last message."""

    @classmethod
    def read(cls, messages: list[Any]) -> Conversation:
        """Read the messages."""
        found = cls()
        names: dict[str, str] = {}
        said = ""
        for message in messages:
            text, role = content_text(message.get("content")), message.get("role")
            found.answered = role in ("tool", "function")
            if role in ("system", "developer"):
                found.system += f"{text}\n"
            elif role == "user":
                found.user, found.results, found.called, found.earlier = text, [], set(), said
            elif role == "assistant":
                said = text or said
                for call in message.get("tool_calls") or ():
                    function = call.get("function") or {} if isinstance(call, dict) else {}
                    names[str(call.get("id"))] = str(function.get("name"))
                    found.called.add(str(function.get("name")))
            elif found.answered:
                name = message.get("name") or names.get(str(message.get("tool_call_id")), "the tool")
                found.results.append((str(name), text.strip()))
        return found

    @property
    def evidence(self) -> Evidence:
        """What the user's text, and what the tools gave, tell."""
        told = "\n".join(text for _, text in self.results)
        return Evidence(f"{self.user}\n{told}" if told else self.user, prompts.hints(self.user), told)


def answer(body: dict[str, Any], *, supports: frozenset[str]) -> Answer:
    """Answer a request.

    Args:
        body: The request; its messages are checked already.
        supports: What the model can do, in the words of `supported_parameters`.

    """
    conversation = Conversation.read(body["messages"])
    reasoning = _reasoning(body, conversation) if "reasoning" in supports else ""
    tools = toolbox.Tool.read(body.get("tools")) if "tools" in supports else []
    tool = toolbox.choose(
        tools, body.get("tool_choice"), conversation.user, conversation.called, answered=conversation.answered
    )
    if tool is not None:
        return Answer(None, reasoning, tool_calls=[tool.call(conversation.evidence)])
    return limited(Answer(_text(body, conversation), reasoning), body)


def _text(body: dict[str, Any], conversation: Conversation) -> str:
    form = body.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}  # type: ignore[union-attr] # kind is None where form is no object
        return json.dumps(fill(schema, conversation.evidence), ensure_ascii=False)
    if kind == "json_object":
        return _json_object(conversation)
    if conversation.results and conversation.answered:
        return _told(conversation.results)
    history = [message for message in body["messages"] if message.get("role") == "user"]
    if (found := prompts.special(conversation.user, conversation.system, history)) is not None:
        return found
    if asked := reading.find(conversation.user, conversation.system):
        return reading.respond(asked)
    return prompts.plain(conversation.user)


def _told(results: list[tuple[str, str]]) -> str:
    """Say what the tools gave: a sentence as it is, anything else with the tool's name."""
    parts = [
        text if text.endswith(_SENTENCE_END) and " " in text else f"The result of {name} is {text or 'empty'}."
        for name, text in results
    ]
    return " ".join(dict.fromkeys(parts))


def _json_object(conversation: Conversation) -> str:
    """Give an object with the keys that the prompt names."""
    text = conversation.user or conversation.system
    found = [
        one for one in prompts.json_objects(f"{conversation.system}\n{text}") if isinstance(one.get("properties"), dict)
    ]
    if found:
        return json.dumps(fill(found[-1], Evidence(text)), ensure_ascii=False)
    keys = list(dict.fromkeys(re.findall(r"[`'\"](\w+)[`'\"]", f"{conversation.system}\n{text}")))
    keys = keys or re.findall(r"\b(?:keys?|fields?)\s*:?\s+(\w+)(?:,\s*(\w+))?", text)[:1]
    names = [name for key in keys for name in ((key,) if isinstance(key, str) else key) if name] or ["answer"]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
    plain = re.sub(r"[`'\"](\w+)[`'\"]", " ", text)
    return json.dumps(fill(schema, Evidence(plain)), ensure_ascii=False)


def _reasoning(body: dict[str, Any], conversation: Conversation) -> str:
    """Think aloud, where the request asks for it."""
    asked = body.get("reasoning")
    wanted = (
        isinstance(asked, dict)
        and asked.get("enabled") is not False
        and asked.get("effort") != "none"
        and not asked.get("exclude")
    )
    if isinstance(asked, dict) and not wanted:
        return ""
    if not wanted and body.get("reasoning_effort") in (None, "none") and body.get("include_reasoning") is not True:
        return ""
    return f"The question is about {Evidence(conversation.user).topic}. I look for what fits it."


def limited(found: Answer, body: dict[str, Any]) -> Answer:
    """Cut a text at the stop sequences, and to the tokens that are allowed."""
    text = found.text or ""
    stops = body.get("stop")
    for stop in [stops] if isinstance(stops, str) else stops if isinstance(stops, list) else ():
        if isinstance(stop, str) and stop:
            text = text.partition(stop)[0]
    most = body.get("max_tokens", body.get("max_completion_tokens"))
    if isinstance(most, int) and most > 0 and len(cut := cut_to_tokens(text, most)) < len(text):
        text, found.finish_reason = cut, "length"
    found.text = text
    return found
