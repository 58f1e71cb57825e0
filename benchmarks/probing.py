"""What the capability probes share: classes under test, the gateway's replies, the ways to ask, the verdicts."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilocode_gateway.local import LocalGateway, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kilocode_gateway.local.recorded import RecordedRequest

    Run = Callable[["Bench"], str]

YES = "yes"
LOST = "no: lost"
KEY = "the-users-own-key"
MODEL = "anthropic/claude-sonnet-4.6"
SERVED = "anthropic/claude-4.6-sonnet-20260217"
COST = 0.0125

INVOKE = ("invoke", "ainvoke")
STREAM = ("stream", "astream")
ALL = (*INVOKE, *STREAM)
SYNC = ("invoke",)
ASYNC = ("ainvoke", "astream")

USAGE: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "cost": COST,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
# What OpenRouter's replies hold, `system_fingerprint` too: its typed SDK refuses replies without one.
OUTER: dict[str, Any] = {
    "id": "gen-1760000000-probe",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": SERVED,
    "provider": "LocalProvider",
    "system_fingerprint": None,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A class under test, and how its constructor spells what the probes ask for."""

    name: str
    module: str
    routing: Callable[[Any], dict[str, Any]]
    """The constructor's arguments for provider routing."""
    call_routing: Callable[[Any], dict[str, Any]]
    """The same for a call."""
    reasoning: Callable[[Any], dict[str, Any]]
    tries: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)
    """Probe -> further settings of the class that may give the capability, tried in turn when it is not there plainly.
    A setting that the class has no field for is passed over."""

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


@dataclass(frozen=True, slots=True)
class Probe:
    """One row of the table."""

    group: str
    title: str
    run: Run
    ways: tuple[str, ...]


PROBES: dict[str, Probe] = {}


def probe(group: str, *, ways: tuple[str, ...] = ALL) -> Callable[[Run], Run]:
    """Make a function a row of the table, named by the first line of its docstring. It is run in each of the ways."""

    def register(run: Run) -> Run:
        title = (run.__doc__ or "").strip().splitlines()[0].removesuffix(".")
        PROBES[run.__name__] = Probe(group, title, run, ways)
        return run

    return register


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


class Bench:
    """A class under test on a gateway of its own, asked in one way."""

    def __init__(self, subject: Subject, way: str, extra: Mapping[str, Any], gateway: LocalGateway) -> None:
        self.subject = subject
        self.way = way
        self.gateway = gateway
        self._extra = extra
        self._runner = asyncio.Runner()

    def close(self) -> None:
        """End the event loop."""
        self._runner.close()

    def script(self, *replies: Reply) -> None:
        """Set the gateway's next replies."""
        self.gateway.script(*replies)

    @property
    def latest(self) -> RecordedRequest:
        """The latest request that reached the gateway."""
        if not self.gateway.requests:
            raise FailedError(NothingSentError("expected a request, none reached the gateway"))
        return self.gateway.last_request

    @property
    def sent(self) -> dict[str, Any]:
        """The body of the latest request."""
        found: dict[str, Any] = self.latest.json
        return found

    @property
    def asked(self) -> int:
        """How many requests came."""
        return len(self.gateway.requests)

    def model(self, model: str = MODEL, **settings: Any) -> Any:
        """Make a model on the gateway; None leaves a setting out."""
        given = {
            "model": model,
            "base_url": self.gateway.base_url.rstrip("/"),
            "api_key": KEY,
            "max_retries": 0,
            **settings,
        }
        given.update(self._extra)
        with watched():
            return self.subject.model_class(**{name: value for name, value in given.items() if value is not None})

    def ask(self, model: Any = None, messages: Any = "Hello", **call: Any) -> Any:
        """Ask in the bench's way, and give the answer; of a stream, its pieces added up, or None when it is empty."""
        model = self.model() if model is None else model
        if self.way in STREAM:
            pieces = self.pieces(model, messages, **call)
            if not pieces:
                return None
            whole = pieces[0]
            for piece in pieces[1:]:
                with watched():
                    # Structured answers grow: the last one is whole.
                    whole = whole + piece if hasattr(piece, "tool_calls") else piece
            return whole
        with watched():
            if self.way == "invoke":
                return model.invoke(messages, **call)
            return self._runner.run(model.ainvoke(messages, **call))

    def pieces(self, model: Any, messages: Any = "Hello", **call: Any) -> list[Any]:
        """Ask for a stream, and list its pieces."""
        found: list[Any] = []
        with watched():
            if self.way == "stream":
                found.extend(model.stream(messages, **call))
            else:
                self._runner.run(_collect(model, messages, call, found))
        return found

    def leave_early(self, model: Any) -> bool:
        """Take one piece of a stream and leave; tell whether the connection was closed within a few seconds."""
        with watched():
            if self.way == "stream":
                for piece in model.stream("Hello"):
                    if piece.text:
                        break
        return self._runner.run(self._left(model))

    async def _left(self, model: Any) -> bool:
        # The loop runs on while it is waited: what it cleans up later counts.
        if self.way == "astream":
            with watched():
                pieces = model.astream("Hello")
                async for piece in pieces:
                    if piece.text:
                        break
                await pieces.aclose()
        for _ in range(80):
            if self.gateway.disconnects:
                return True
            await asyncio.sleep(0.05)
        return False

    def error(self, model: Any = None, messages: Any = "Hello", **call: Any) -> Exception | None:
        """Ask, and give the error that the class raised; None when it answered."""
        try:
            self.ask(model, messages, **call)
        except FailedError as failed:
            return failed.error
        return None


async def _collect(model: Any, messages: Any, call: dict[str, Any], found: list[Any]) -> None:
    async for piece in model.astream(messages, **call):
        found.append(piece)  # noqa: PERF401 - a list comprehension would lose the pieces before an error


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Write one chunk of a stream as OpenRouter does."""
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": "", **delta},
        "finish_reason": finish,
        "native_finish_reason": finish,
        "logprobs": None,
    }
    return {**OUTER, "choices": [choice], **more}


def reply(*deltas: dict[str, Any], finish: str = "stop", usage: dict[str, Any] | None = None, **faults: Any) -> Reply:
    """Script an answer of these deltas: a stream, or the same put together, whichever the request asks for."""
    told = USAGE if usage is None else usage
    return Reply.chunks([*map(chunk, deltas), chunk({}, finish), chunk({}, usage=told)], **faults)


def say(text: str = "Hello there.", **faults: Any) -> Reply:
    """Script a plain answer."""
    return reply({"content": text}, **faults)


def upstream(status: int, message: str) -> Reply:
    """Script an error as the upstream router writes it."""
    return Reply.raw(status, {"error": {"message": message, "code": status}})


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
    told = [(name, value) for name, value in settings.items() if value is not None]
    return " and ".join(
        f"`{name}={value!r}`" if isinstance(value, (bool, str)) else f"`{name}`" for name, value in told
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
