"""What the capability tables share: classes under test, rows, ways to ask, verdicts."""

from __future__ import annotations

import asyncio
import importlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from kilocode_gateway.local import LocalGateway, Reply
    from kilocode_gateway.local.recorded import RecordedRequest

    Run = Callable[[Any], str]
    Spelling = Callable[[str, Any], dict[str, Any]]

YES = "yes"
LOST = "no: lost"
KEY = "the-users-own-key"
MODEL = "anthropic/claude-sonnet-4.6"
OWN_MODEL = "kilo-auto/balanced"
TAKES_ALL = "google/gemini-3.1-pro-preview"
"""A model that takes images, files, audio and video by the gateway's list."""
UNSET: Any = object()
"""Stands for a setting that is left out."""

FOREIGN = {
    name: f"canary-{name.lower().replace('_', '-')}"
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_ORG_ID",
        "OPENAI_ORGANIZATION",
        "OPENAI_PROJECT_ID",
        "OPENROUTER_API_KEY",
        "OPENROUTER_SESSION_ID",
        "ANTHROPIC_API_KEY",
        "LANGSMITH_API_KEY",
    )
}
"""Variables that belong to other services, each with a value that can be found again."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A class under test, and how its constructor spells what the probes ask for."""

    name: str
    module: str
    spelt: Spelling
    """The constructor's arguments for a field of the request that only the gateway knows, by the field's name."""
    spelt_in_call: Spelling
    """The same for a call."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """What its documentation gives it in every example for such a gateway; a probe can ask without."""
    tries: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    """Probe -> further settings of the class that may give the capability, tried in turn when it is not there plainly.
    A setting that the class has no field for is passed over."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """What belongs to it beside the class: what it is for -> `module:name`."""

    @property
    def model_class(self) -> Any:
        """The class itself."""
        return getattr(importlib.import_module(self.module), self.name)

    def settings(self, probe: str) -> list[dict[str, Any]]:
        """List the further settings to give: none first, then each that the class has fields for."""
        known = fields(self.model_class)
        return [{}, *(extra for extra in self.tries.get(probe, ()) if known.issuperset(extra))]


def fields(model_class: Any) -> set[str]:
    """List the names of a class's settings, aliases too."""
    found = model_class.model_fields
    return {*found, *(item.alias for item in found.values() if item.alias)}


def in_extra_body(name: str, value: Any) -> dict[str, Any]:
    """Spell a field of the request as OpenAI's SDK does."""
    return {"extra_body": {name: value}}


def plainly(name: str, value: Any) -> dict[str, Any]:
    """Spell a field of the request under its own name."""
    return {name: value}


@dataclass(frozen=True, slots=True)
class Probe:
    """One row of the table."""

    group: str
    title: str
    run: Run
    ways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its rows, its columns, and how each cell is measured."""

    name: str
    probes: Mapping[str, Probe]
    """The rows in their order, each by its function's name."""
    subjects: Mapping[str, Subject]
    """The columns in their order, each by its class's name."""
    bench: Callable[..., Bench]
    packages: tuple[str, ...]
    """The distributions whose versions the page names."""
    emptied: tuple[str, ...] = ()
    """Variables that name a folder of things fetched earlier: probes get an empty one."""
    removed: tuple[str, ...] = ()
    """Beginnings of further variables that probes do not get."""


class Rows:
    """Collects the rows of a table."""

    def __init__(self, ways: tuple[str, ...]) -> None:
        self.found: dict[str, Probe] = {}
        self._ways = ways

    def probe(self, group: str, *, ways: tuple[str, ...] = ()) -> Callable[[Run], Run]:
        """Make a function a row, named by the first line of its docstring. It is run in each of the ways."""

        def register(run: Run) -> Run:
            title = (run.__doc__ or "").strip().splitlines()[0].removesuffix(".")
            self.found[run.__name__] = Probe(group, title, run, ways or self._ways)
            return run

        return register

    def of(self, package: str, *modules: str) -> dict[str, Probe]:
        """Give the rows that these modules of a package have made, in this order."""
        for name in modules:
            importlib.import_module(f"{package}.{name}")
        places = {f"{package}.{name}": place for place, name in enumerate(modules)}
        return dict(sorted(self.found.items(), key=lambda item: places[item[1].run.__module__]))


class FailedError(Exception):
    """The class under test raised an error where the probe wanted an answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class NothingSentError(Exception):
    """The class under test sent no request where the probe looked for one."""


@contextmanager
def watched() -> Iterator[None]:
    """Tell the errors of the class under test from those of a probe."""
    try:
        yield
    except FailedError:
        raise
    except Exception as error:
        raise FailedError(error) from error


@contextmanager
def foreign_variables() -> Iterator[None]:
    """Set other services' variables."""
    before = dict(os.environ)
    os.environ.update(FOREIGN)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Bench:
    """A class under test on a gateway of its own, asked in one way; each framework adds how it asks."""

    address = "base_url"
    """The constructor's name for the gateway's address."""

    def __init__(self, subject: Subject, way: str, extra: Mapping[str, Any], gateway: LocalGateway) -> None:
        self.subject = subject
        self.way = way
        self.gateway = gateway
        self._extra = extra
        self._runner = asyncio.Runner()

    @property
    def streams(self) -> bool:
        """Whether it asks for streams."""
        return "stream" in self.way

    def close(self) -> None:
        """End the event loop."""
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the bench's event loop."""
        return self._runner.run(work)

    def script(self, *replies: Reply) -> None:
        """Set the gateway's next replies."""
        self.gateway.script(*replies)

    @property
    def posts(self) -> list[RecordedRequest]:
        """The requests that asked for something other than a list of models."""
        return [request for request in list(self.gateway.requests) if request.method == "POST"]

    @property
    def latest(self) -> RecordedRequest:
        """The latest request that reached the gateway."""
        if not self.posts:
            raise FailedError(NothingSentError("expected a request, none reached the gateway"))
        return self.posts[-1]

    @property
    def sent(self) -> dict[str, Any]:
        """The body of the latest request."""
        found: dict[str, Any] = self.latest.json
        return found

    @property
    def asked(self) -> int:
        """How many requests came."""
        return len(self.posts)

    def sent_canaries(self) -> list[str]:
        """List the other services' variables whose values reached the gateway."""
        text = "".join(f"{request.header_pairs}{request.body!r}{request.query}" for request in self.gateway.requests)
        return [name for name, value in FOREIGN.items() if value in text]

    def model(self, model: str = MODEL, *, bare: bool = False, **settings: Any) -> Any:
        """Make a model on the gateway; UNSET leaves a setting out, `bare` what the subject is always given."""
        given = {
            "model": model,
            self.address: self.gateway.base_url.rstrip("/"),
            "api_key": KEY,
            "max_retries": 0,
            **({} if bare else self.subject.always),
            **settings,
        }
        given.update(self._extra)
        with watched():
            return self.subject.model_class(**{name: value for name, value in given.items() if value is not UNSET})

    def ask(self, model: Any = None, messages: Any = "Hello", **call: Any) -> Any:
        """Ask in the bench's way, and give the answer; a stream's is whole, or None when the stream is empty."""
        raise NotImplementedError

    def error(self, model: Any = None, messages: Any = "Hello", **call: Any) -> Exception | None:
        """Ask, and give the error that the class raised; None when it answered."""
        try:
            self.ask(model, messages, **call)
        except FailedError as failed:
            return failed.error
        return None

    async def hung_up(self) -> bool:
        """Tell whether the client leaves the connection within a few seconds, while the loop runs on."""
        for _ in range(80):
            if self.gateway.disconnects:
                return True
            await asyncio.sleep(0.05)
        return False


def leaves(value: Any) -> Iterator[Any]:
    """Walk through everything that a message holds."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def holds(message: Any, wanted: object) -> bool:
    """Tell whether a value stands anywhere in a message, inside a longer text too."""
    return any(str(wanted) in str(leaf) for leaf in leaves(message) if leaf is not None)


def extras(settings: Mapping[str, Any]) -> str:
    """Name further settings as a reader would write them."""
    told = [(name, value) for name, value in settings.items() if value is not UNSET]
    return " and ".join(
        f"`{name}={value!r}`" if value is None or isinstance(value, (bool, str)) else f"`{name}`"
        for name, value in told
    )


def kept(found: object, loss: str = LOST) -> str:
    """Say yes when something is there, else what happened."""
    return YES if found else loss


def raised(error: Exception | None, *, kind: type[Exception] | None = None, text: str = "", silent: str) -> str:
    """Judge an error: there must be one, of a kind, with a text in it."""
    if error is None:
        return f"no: {silent}"
    if kind is not None and not isinstance(error, kind):
        return f"no: {type(error).__name__}"
    return kept(text in str(error), f"no: {type(error).__name__} without the reason")
