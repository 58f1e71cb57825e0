"""Probes of a model's life: event loops, copies, pickles, clients, dicts."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import logging
import os
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from llama_index.core.llms.loading import RECOGNIZED_LLMS, load_llm

from benchmarks.li.bench import CHAT, SYNC, WAITS, probe, text_of
from benchmarks.probing import KEY, UNSET, YES, FailedError, kept, watched
from benchmarks.replies import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.li.bench import Bench

LIFE = "Event loops, copies, clients"
DICTS = "Dicts, JSON, pickles and the key"
OTHER_KEY = "another-key-of-the-user"
FROM_ENVIRONMENT = "the-key-of-the-environment"
HEADER = "a-secret-in-a-header"
ANSWER = "Hello there."


def _used(bench: Bench, **settings: Any) -> Any:
    """Give a model that has answered once."""
    bench.script(say(), say(), say())
    model = bench.model(**settings)
    bench.ask(model)
    return model


@probe(LIFE, ways=WAITS)
def several_loops(bench: Bench) -> str:
    """A model answers in a second and a third `asyncio.run`."""
    bench.script(*[say()] * 3)
    model = bench.model()

    async def ask() -> Any:
        asked = await getattr(model, bench.way)(bench.prompt("Hello"))
        return [piece async for piece in asked][-1] if bench.streams else asked

    with watched():
        answers = [asyncio.run(ask()) for _ in range(3)]
    return kept([text_of(answer) for answer in answers] == [ANSWER] * 3)


@probe(LIFE, ways=CHAT)
def one_connection(bench: Bench) -> str:
    """Three calls use one connection."""
    model = _used(bench)
    for _ in range(2):
        bench.ask(model)
    return kept(bench.gateway.connections == 1, f"no: {bench.gateway.connections} connections")


@probe(LIFE, ways=("chat", "achat"))
def shared_connection(bench: Bench) -> str:
    """A second model object uses the connection of the first."""
    bench.script(say(), say())
    first, second = bench.model(), bench.model()
    for model in (first, second):
        bench.ask(model)
    return kept(bench.gateway.connections == 1, f"no: {bench.gateway.connections} connections")


@probe(LIFE, ways=CHAT)
def copied_after_use(bench: Bench) -> str:
    """A model that was used can be deep-copied, and answers afterwards."""
    model = _used(bench)
    with watched():
        again = copy.deepcopy(model)
    return kept(text_of(bench.ask(again)) == ANSWER)


@probe(LIFE, ways=CHAT)
def new_key_in_copy(bench: Bench) -> str:
    """`model_copy` with another key uses it."""
    model = _used(bench)
    with watched():
        again = model.model_copy(update={"api_key": OTHER_KEY})
    bench.ask(again)
    return kept(bench.latest.key == OTHER_KEY, "no: the old key is sent")


@probe(LIFE, ways=CHAT)
def new_key_assigned(bench: Bench) -> str:
    """Another key that is assigned is used."""
    model = _used(bench)
    with watched():
        model.api_key = OTHER_KEY
    bench.ask(model)
    return kept(bench.latest.key == OTHER_KEY, "no: the old key is sent")


@probe(LIFE, ways=("chat", "achat"))
def own_client(bench: Bench) -> str:
    """The user's own HTTP client is used, and left open, also with `reuse_client=False`."""
    bench.script(say(), say())
    name = "async_http_client" if bench.way == "achat" else "http_client"
    kind = httpx.AsyncClient if bench.way == "achat" else httpx.Client
    client = kind(headers={"x-mine": "1"})
    model = bench.model(**{name: client}, reuse_client=False)
    for _ in range(2):
        bench.ask(model)
    used = [request.headers.get("x-mine") for request in bench.posts] == ["1", "1"]
    return kept(used and not client.is_closed, "no: closed" if used else "no: not used")


@probe(DICTS, ways=CHAT)
def pickled_after_use(bench: Bench) -> str:
    """A model that was used can be pickled, and answers afterwards."""
    model = _used(bench)
    with watched():
        again = pickle.loads(pickle.dumps(model))  # noqa: S301 - made in the same line
    return kept(text_of(bench.ask(again)) == ANSWER)


@probe(DICTS, ways=SYNC)
def pickled_quietly(bench: Bench) -> str:
    """Pickling a model that was used warns of nothing."""
    model = _used(bench)
    seen: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = seen.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        with watched():
            pickle.dumps(model)
    finally:
        logging.getLogger().removeHandler(handler)
    return kept(not seen, f"no: {seen[0].getMessage()[:60]}" if seen else "")


@contextmanager
def _key_in_the_environment(bench: Bench) -> Iterator[None]:
    variable = bench.subject.beside["variable"]
    os.environ[variable] = FROM_ENVIRONMENT
    try:
        yield
    finally:
        del os.environ[variable]


@probe(DICTS, ways=SYNC)
def key_in_pickle(bench: Bench) -> str:
    """A key from the environment is used, and stands in no pickle."""
    bench.script(say())
    with _key_in_the_environment(bench):
        model = bench.model(api_key=UNSET)
        bench.ask(model)
        if bench.latest.key != FROM_ENVIRONMENT:
            return "no: not used"
        with watched():
            data = pickle.dumps(model)
    return kept(FROM_ENVIRONMENT.encode() not in data, "no: in the pickle")


def _shown(model: Any) -> dict[str, str]:
    with watched():
        return {
            "repr": repr(model),
            "str": str(model),
            "to_dict": str(model.to_dict()),
            "to_json": model.to_json(),
        }


def _judge_shown(bench: Bench, secret: str, **settings: Any) -> str:
    found = [name for name, text in _shown(_used(bench, **settings)).items() if secret in text]
    return kept(not found, f"no: in {', '.join(found)}")


@probe(DICTS, ways=SYNC)
def key_shown(bench: Bench) -> str:
    """The key stands in no `to_dict`, `to_json`, repr or str."""
    return _judge_shown(bench, KEY)


@probe(DICTS, ways=SYNC)
def headers_shown(bench: Bench) -> str:
    """Headers of one's own stand in no `to_dict`, `to_json`, repr or str."""
    return _judge_shown(bench, HEADER, default_headers={"x-own": HEADER})


@probe(DICTS, ways=CHAT)
def from_dict(bench: Bench) -> str:
    """`from_dict` of JSON of `to_dict` gives the same settings, and answers with a key."""
    bench.script(say())
    model = bench.model(temperature=0.3, max_tokens=7)
    with watched():
        data = json.loads(json.dumps(model.to_dict()))
        again = type(model).from_dict(data, api_key=OTHER_KEY)
    bench.ask(again)
    sent = (bench.sent.get("temperature"), bench.sent.get("max_tokens"), bench.latest.key)
    return kept(sent == (0.3, 7, OTHER_KEY), "no: changed")


@probe(DICTS, ways=SYNC)
def loaded(bench: Bench) -> str:
    """`load_llm` of JSON of `to_dict`."""
    model = bench.model()
    with watched():
        data = json.loads(json.dumps(model.to_dict()))

    def load() -> str:
        with watched(), _key_in_the_environment(bench):
            return kept(type(load_llm(dict(data))) is type(model))

    loader = bench.subject.beside.get("loader")
    try:
        return load()
    except FailedError:
        if loader is None:
            raise
    before = dict(RECOGNIZED_LLMS)
    module, _, name = loader.partition(":")
    try:
        getattr(importlib.import_module(module), name)()
        found = load()
    finally:
        RECOGNIZED_LLMS.clear()
        RECOGNIZED_LLMS.update(before)
    return f"{YES}, with `{name}()`" if found == YES else found


@probe(DICTS, ways=CHAT)
def key_from_a_function(bench: Bench) -> str:
    """The key may come from a function that is called for each request."""
    bench.script(say(), say())
    given = iter((KEY, OTHER_KEY))
    model = bench.model(api_key=lambda: next(given))
    for _ in range(2):
        bench.ask(model)
    return kept([request.key for request in bench.posts] == [KEY, OTHER_KEY], "no: not called")
