"""Probes of settings, secrets, connections and what LangChain's other parts read of a model."""

from __future__ import annotations

import copy
import importlib
import pickle
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import SummarizationMiddleware
from langchain.chat_models import init_chat_model
from langchain_core.load import dumps, loads
from langchain_core.messages import HumanMessage

from benchmarks.lc.bench import INVOKE, SYNC, probe
from benchmarks.probing import KEY, LOST, MODEL, OWN_MODEL, UNSET, YES, FailedError, foreign_variables, kept, watched
from benchmarks.replies import say
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.lc.bench import Bench

REQUEST = "Requests"
SECRETS = "Settings and secrets"
FRAMEWORK = "In LangChain"
CODEX = "openai/gpt-5.1-codex"


@probe(REQUEST)
def codex_names(bench: Bench) -> str:
    """A model with "codex" in its name is asked at chat/completions."""
    bench.script(say())
    bench.error(bench.model(CODEX))
    return kept(bench.gateway.chat_requests, f"no: {bench.latest.path.rpartition('/')[2]}")


@probe(REQUEST, ways=INVOKE)
def responses_api(bench: Bench) -> str:
    """The Responses API can be used instead, where one wants it."""
    text = {"type": "output_text", "text": "Hello.", "annotations": []}
    output = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2,
    }
    body = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": MODEL,
        "status": "completed",
        "output": [output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }
    bench.script(Reply.raw(200, body))
    model = bench.model()
    error = bench.error(model)
    return kept(error is None and bench.latest.path.endswith("/responses"), "no: chat/completions only")


@probe(REQUEST)
def output_limit(bench: Bench) -> str:
    """`max_tokens` goes out under that name."""
    bench.script(say())
    bench.ask(bench.model(max_tokens=77))
    other = ", ".join(name for name, value in bench.sent.items() if value == 77)  # noqa: PLR2004 - the one above
    return kept(bench.sent.get("max_tokens") == 77, f"no: sent as {other}")  # noqa: PLR2004 - the one above


@probe(REQUEST)
def routing(bench: Bench) -> str:
    """Provider routing goes out."""
    bench.script(say())
    wanted = {"order": ["anthropic"], "data_collection": "deny"}
    bench.ask(bench.model(**bench.subject.spelt("provider", wanted)))
    return kept(bench.sent.get("provider") == wanted)


@probe(REQUEST)
def routing_merges(bench: Bench) -> str:
    """Provider routing of a call is merged into the model's."""
    bench.script(say())
    model = bench.model(**bench.subject.spelt("provider", {"data_collection": "deny"}))
    bench.ask(model, **bench.subject.spelt_in_call("provider", {"sort": "price"}))
    sent = bench.sent.get("provider")
    return kept(sent == {"data_collection": "deny", "sort": "price"}, "no: the model's is replaced")


@probe(REQUEST)
def own_headers(bench: Bench) -> str:
    """Headers of one's own."""
    bench.script(say())
    bench.ask(bench.model(default_headers={"x-own": "1"}))
    return kept(bench.latest.headers.get("x-own") == "1")


@probe(REQUEST, ways=INVOKE)
def one_connection(bench: Bench) -> str:
    """A second model object uses the connection of the first."""
    bench.script(say(), say())
    for _ in range(2):
        bench.ask(bench.model())
    return kept(bench.gateway.connections == 1, f"no: {bench.gateway.connections} connections")


@probe(SECRETS)
def foreign_key(bench: Bench) -> str:
    """Without a key of its own, no other service's key is sent."""
    bench.script(say())
    with foreign_variables():
        try:
            model = bench.model(api_key=UNSET)
        except FailedError:
            return YES
        bench.error(model)
    found = [name for name in bench.sent_canaries() if name.endswith("_KEY")]
    return kept(not found, f"no: sent {', '.join(found)}")


@probe(SECRETS)
def foreign_identifiers(bench: Bench) -> str:
    """With a key of its own, nothing of another service's variables is sent."""
    bench.script(say())
    with foreign_variables():
        bench.error(bench.model())
    found = bench.sent_canaries()
    return kept(not found, f"no: sent {', '.join(found)}")


@probe(SECRETS, ways=SYNC)
def key_in_repr(bench: Bench) -> str:
    """The key stands in no repr and in no `dumps`."""
    model = bench.model()
    places = {"repr": repr(model), "str": str(model), "dumps": dumps(model)}
    found = [name for name, text in places.items() if KEY in text]
    return kept(not found, f"no: in {', '.join(found)}")


@probe(SECRETS, ways=SYNC)
def key_from_a_callable(bench: Bench) -> str:
    """The key may come from a function that is called for each request."""
    bench.script(say())
    bench.ask(bench.model(api_key=lambda: KEY))
    return kept(bench.latest.key == KEY, "no: not sent")


@probe(SECRETS, ways=SYNC)
def unknown_setting(bench: Bench) -> str:
    """A misspelt setting is refused by the constructor."""
    try:
        model = bench.model(temprature=0)
    except FailedError:
        return YES
    error = bench.error(model)
    return f"no: {'ignored' if error is None else f'{type(error).__name__} at the first call'}"


@probe(SECRETS)
def unknown_call_setting(bench: Bench) -> str:
    """A misspelt setting is refused in a call."""
    bench.error(bench.model(), temprature=0)
    return kept(not bench.asked, "no: sent")


@probe(SECRETS)
def pickled(bench: Bench) -> str:
    """A model can be pickled, and answers afterwards."""
    bench.script(say())
    with watched():
        again = pickle.loads(pickle.dumps(bench.model()))  # noqa: S301 - made in the same line
    return kept(bench.ask(again).text)


@probe(SECRETS)
def copied(bench: Bench) -> str:
    """A model can be deep-copied, and answers afterwards."""
    bench.script(say())
    with watched():
        again = copy.deepcopy(bench.model())
    return kept(bench.ask(again).text)


@probe(SECRETS)
def loaded(bench: Bench) -> str:
    """A model survives `dumps` and `loads`, with the key from a secret."""
    bench.script(say())
    model = bench.model()
    with watched():
        again = loads(
            dumps(model),
            secrets_map=dict.fromkeys(model.lc_secrets.values(), KEY),
            valid_namespaces=[bench.subject.module],
            allowed_objects=[type(model)],
        )
    return kept(bench.ask(again).text and bench.latest.key == KEY)


@probe(FRAMEWORK, ways=SYNC)
def profile(bench: Bench) -> str:
    """Knows the context window of a model that other routers have too."""
    return _judge_profile(bench, MODEL)


@probe(FRAMEWORK, ways=SYNC)
def profile_of_its_own(bench: Bench) -> str:
    """Knows the context window of the gateway's own models."""
    return _judge_profile(bench, OWN_MODEL)


def _judge_profile(bench: Bench, name: str) -> str:
    model = bench.model(name)
    with watched():
        known = model.profile
    return kept((known or {}).get("max_input_tokens"), "no: unknown")


@probe(FRAMEWORK, ways=SYNC)
def summarization(bench: Bench) -> str:
    """`SummarizationMiddleware` with a fraction of the context window."""
    model = bench.model()
    with watched():
        SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("messages", 2))
    return YES


@probe(FRAMEWORK, ways=SYNC)
def token_counting(bench: Bench) -> str:
    """Tokens are counted without a download."""
    model = bench.model()
    with watched():
        numbers = (model.get_num_tokens("Hello there."), model.get_num_tokens_from_messages([HumanMessage("Hello.")]))
    return kept(all(numbers), LOST)


@probe(FRAMEWORK, ways=SYNC)
def by_name(bench: Bench) -> str:
    """`init_chat_model("provider:model")` makes it."""
    cls, module = bench.subject.model_class, importlib.import_module(bench.subject.module)

    def made() -> Any:
        name = f"{bench.subject.module.removeprefix('langchain_')}:{MODEL}"
        with watched():
            return init_chat_model(name, base_url=bench.gateway.base_url.rstrip("/"), api_key=KEY)

    try:
        return kept(isinstance(made(), cls))
    except FailedError:
        if not hasattr(module, "register"):
            raise
    module.register()
    return f"{YES}, with `register()`" if isinstance(made(), cls) else LOST
