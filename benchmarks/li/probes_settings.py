"""Probes of settings: which one wins, what is sent, what is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from llama_index.core.llms import ChatMessage

from benchmarks.li.bench import SYNC, probe, user
from benchmarks.probing import MODEL, YES, FailedError, kept
from benchmarks.replies import say

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

GROUP = "Which setting wins, and what is sent"
FEW, MANY = 7, 70


def _sent(
    bench: Bench, settings: dict[str, Any], call: dict[str, Any] | None = None, model: str = MODEL
) -> dict[str, Any]:
    bench.script(say())
    bench.ask(bench.model(model, **settings), **call or {})
    return bench.sent


def _wins(found: object, wanted: object) -> str:
    return YES if found == wanted else f"no: sent {'nothing' if found is None else found}"


@probe(GROUP)
def call_over_field(bench: Bench) -> str:
    """A call's `temperature` wins over the model's."""
    return _wins(_sent(bench, {"temperature": 0.3}, {"temperature": 0.7}).get("temperature"), 0.7)


@probe(GROUP)
def limit_of_a_call(bench: Bench) -> str:
    """A call's `max_tokens` wins over the model's."""
    return _wins(_sent(bench, {"max_tokens": MANY}, {"max_tokens": FEW}).get("max_tokens"), FEW)


@probe(GROUP)
def call_over_kwargs(bench: Bench) -> str:
    """A call's setting wins over `additional_kwargs`."""
    sent = _sent(bench, {"additional_kwargs": {"top_p": 0.5}}, {"top_p": 0.25})
    return _wins(sent.get("top_p"), 0.25)


@probe(GROUP)
def kwargs_over_field(bench: Bench) -> str:
    """`additional_kwargs` win over fields."""
    sent = _sent(bench, {"temperature": 0.3, "additional_kwargs": {"temperature": 0.6}})
    return _wins(sent.get("temperature"), 0.6)


@probe(GROUP)
def bodies_merge(bench: Bench) -> str:
    """A call's `extra_body` is merged into the model's."""
    settings = {"additional_kwargs": {"extra_body": {"one": 1}}}
    sent = _sent(bench, settings, {"extra_body": {"two": 2}})
    return kept(
        (sent.get("one"), sent.get("two")) == (1, 2),
        "no: the call's is lost" if sent.get("one") else "no: the model's is lost",
    )


@probe(GROUP)
def bodies_merge_inside(bench: Bench) -> str:
    """Provider routing of a call is merged into the model's."""
    settings = bench.subject.spelt("provider", {"data_collection": "deny"})
    sent = _sent(bench, settings, bench.subject.spelt_in_call("provider", {"sort": "price"}))
    both = {"data_collection": "deny", "sort": "price"}
    return kept(
        sent.get("provider") == both,
        "no: the model's alone" if "data_collection" in sent["provider"] else "no: replaced",
    )


@probe(GROUP)
def no_temperature(bench: Bench) -> str:
    """`temperature=None` sends none."""
    found = _sent(bench, {"temperature": None}).get("temperature")
    return kept(found is None, f"no: sent {found}")


@probe(GROUP)
def no_temperature_in_a_call(bench: Bench) -> str:
    """A call's `temperature=None` takes the model's out."""
    found = _sent(bench, {"temperature": 0.3}, {"temperature": None})
    return kept(found.get("temperature") is None, f"no: sent {found.get('temperature')}")


@probe(GROUP)
def unset_temperature(bench: Bench) -> str:
    """A `temperature` that nobody set is not sent."""
    found = _sent(bench, {})
    return kept(found.get("temperature") is None, f"no: sent {found.get('temperature')}")


@probe(GROUP)
def no_output_limit(bench: Bench) -> str:
    """A `max_tokens` that nobody set is not sent."""
    found = _sent(bench, {})
    limit = found.get("max_tokens") or found.get("max_completion_tokens")
    return kept(limit is None, f"no: sent {limit}")


@probe(GROUP)
def output_limit(bench: Bench) -> str:
    """`max_tokens` goes out under that name."""
    return _wins(_sent(bench, {"max_tokens": FEW}).get("max_tokens"), FEW)


@probe(GROUP)
def listed_names(bench: Bench) -> str:
    """A model that OpenAI has under the same name (`o3`) gets settings and system messages as they are."""
    bench.script(say())
    messages = [ChatMessage(role="system", content="Be short."), user("Hello")]
    bench.ask(bench.model("o3", temperature=0.3, max_tokens=FEW), messages)
    found = (bench.sent.get("temperature"), bench.sent.get("max_tokens"), bench.sent["messages"][0]["role"])
    return kept(found == (0.3, FEW, "system"), f"no: temperature {found[0]}, role {found[2]}")


@probe(GROUP)
def model_of_a_call(bench: Bench) -> str:
    """A call's `model` wins over the model's."""
    return _wins(_sent(bench, {}, {"model": "openai/gpt-5.4"}).get("model"), "openai/gpt-5.4")


@probe(GROUP)
def headers_of_a_call(bench: Bench) -> str:
    """Headers of the model and of a call."""
    _sent(bench, {"default_headers": {"x-own": "1"}}, {"extra_headers": {"x-call": "2"}})
    found = bench.latest.headers
    return kept((found.get("x-own"), found.get("x-call")) == ("1", "2"))


@probe(GROUP, ways=SYNC)
def unknown_setting(bench: Bench) -> str:
    """A misspelt setting is refused by the constructor."""
    try:
        model = bench.model(temprature=0)
    except FailedError:
        return YES
    error = bench.error(model)
    return f"no: {'ignored' if error is None else f'{type(error).__name__} at the first call'}"


@probe(GROUP)
def unknown_call_setting(bench: Bench) -> str:
    """A misspelt setting is refused in a call."""
    model = bench.model()
    error = bench.error(model, temprature=0)
    return kept(error is not None and not bench.asked, "no: sent" if bench.asked else "no: ignored")


@probe(GROUP)
def unknown_further_setting(bench: Bench) -> str:
    """A misspelt setting in `additional_kwargs` is refused before anything is sent."""
    try:
        model = bench.model(additional_kwargs={"temprature": 0})
    except FailedError:
        return YES
    error = bench.error(model)
    return kept(error is not None and not bench.asked, "no: sent" if bench.asked else "no: ignored")


@probe(GROUP)
def given_dicts(bench: Bench) -> str:
    """Dicts that were given are not changed."""
    settings = {**bench.subject.spelt("provider", {"order": ["anthropic"]})}
    given = {"extra_body": {"one": {"a": 1}}}
    settings["additional_kwargs"] = {**settings.get("additional_kwargs", {}), **given}
    call = {"extra_body": {"two": {"b": 2}}}
    before = copy.deepcopy((settings, call))
    _sent(bench, settings, call)
    return kept((settings, call) == before, "no: changed")
