"""Probes of what only this gateway has, as settings, and of what belongs to other services."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from benchmarks.li.bench import ALL, CHAT, probe
from benchmarks.li.subjects import HEADERS
from benchmarks.probing import KEY, MODEL, UNSET, YES, FailedError, foreign_variables, kept
from benchmarks.replies import say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench
    from benchmarks.probing import Spelling

GATEWAY = "The gateway's own settings"
FOREIGN = "Other services' variables (`OPENAI_*` and the like)"


def _judge_field(bench: Bench, name: str, wanted: Any) -> str:
    bench.script(say())
    bench.ask(bench.model(**bench.subject.spelt(name, wanted)))
    return kept(bench.sent.get(name) == wanted)


@probe(GATEWAY, ways=CHAT)
def routing(bench: Bench) -> str:
    """Provider routing."""
    return _judge_field(bench, "provider", {"order": ["anthropic"], "allow_fallbacks": False})


@probe(GATEWAY, ways=CHAT)
def sampling(bench: Bench) -> str:
    """Sampling that OpenAI does not have (`min_p`)."""
    return _judge_field(bench, "min_p", 0.05)


@probe(GATEWAY, ways=CHAT)
def mode(bench: Bench) -> str:
    """The mode and the task of a call."""
    given = {"mode": "plan", "task_id": "conversation-7"}
    bench.script(say())
    bench.ask(None, "Hello", **_spelt(bench.subject.spelt_in_call, given))
    return _judge_headers(bench, given)


@probe(GATEWAY, ways=CHAT)
def organization(bench: Bench) -> str:
    """The organization that pays, the mode and the task of a model."""
    given = {"organization_id": "org-1", "mode": "plan", "task_id": "conversation-7"}
    bench.script(say())
    bench.ask(bench.model(**_spelt(bench.subject.spelt, given)))
    return _judge_headers(bench, given)


def _spelt(spell: Spelling, given: dict[str, str]) -> dict[str, Any]:
    """Spell several settings, those that stand in one dict together."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        for setting, one in spell(name, value).items():
            found[setting] = {**found.get(setting, {}), **one} if isinstance(one, dict) else one
    return found


def _judge_headers(bench: Bench, given: dict[str, str]) -> str:
    return kept({name: bench.latest.headers.get(HEADERS[name]) for name in given} == given)


@probe(GATEWAY, ways=CHAT)
def who_answered(bench: Bench) -> str:
    """Where a fallback model answered, the response tells which one, and what had failed."""
    bench.script(Reply.error("529"), say())
    try:
        model = bench.model(fallback_models=[f"{MODEL}-second"])
        answer = bench.ask(model)
    except FailedError as failed:
        return f"no: {type(failed.error).__name__}"
    found = answer.additional_kwargs
    failed_ones = [one["model"] for one in found.get("failed_models") or ()]
    return kept((found.get("fallback_model"), failed_ones) == (f"{MODEL}-second", [MODEL]))


@probe(FOREIGN, ways=ALL)
def foreign_key(bench: Bench) -> str:
    """Without a key of its own, no other service's key is sent."""
    bench.script(say())
    with foreign_variables():
        try:
            model = bench.model(api_key=UNSET)
        except FailedError:
            return YES
        if bench.error(model) is None and not bench.asked:
            return "no: not asked"
    found = [name for name in bench.sent_canaries() if name.endswith("_KEY")]
    return kept(not found, f"no: sent {', '.join(found)}")


@probe(FOREIGN, ways=ALL)
def foreign_identifiers(bench: Bench) -> str:
    """With a key of its own, nothing of another service's variables is sent."""
    bench.script(say())
    with foreign_variables():
        bench.error(bench.model())
    found = bench.sent_canaries()
    return kept(bench.asked and not found, f"no: sent {', '.join(found)}")


@probe(FOREIGN, ways=ALL)
def foreign_address(bench: Bench) -> str:
    """Without an address of its own, the key goes to no address of `OPENAI_API_BASE` or `OPENAI_BASE_URL`."""
    names = ("OPENAI_API_BASE", "OPENAI_BASE_URL")
    os.environ.update(dict.fromkeys(names, bench.gateway.base_url.rstrip("/")))
    try:
        error = bench.error(bench.model(api_base=UNSET))
    except FailedError:
        return YES
    finally:
        for name in names:
            os.environ.pop(name, None)
    sent = [request for request in bench.gateway.requests if KEY in str(request.header_pairs)]
    return kept(error is not None and not sent, "no: sent there" if sent else "no: not asked")
