"""What an LLM's listeners are told: nothing where there are none, and no secret; their keeping keeps no stream open."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.null import NullEventHandler

from kilocode_gateway.loops import Unlisted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping

    from llama_index.core.llms.llm import LLM

_P = ParamSpec("_P")
_Response = TypeVar("_Response")

_dispatcher = get_dispatcher("llama_index.core.llms.callbacks")
"""The one to which the framework's callback wrapper gives the events of chats."""
predictions = get_dispatcher("llama_index.core.llms.llm")
"""The one to which the framework gives the events of structured predictions."""

_HIDDEN = "***"
_begun: ContextVar[list[Any] | None] = ContextVar("_begun", default=None)


def is_watched(llm: LLM) -> bool:
    """Tell whether a callback handler or an event handler is there for this LLM."""
    return bool(getattr(llm.callback_manager, "handlers", None)) or is_heard(_dispatcher)


def is_heard(dispatcher: Any) -> bool:
    """Tell whether an event handler gets what this dispatcher is given."""
    while dispatcher is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in dispatcher.event_handlers):
            return True
        dispatcher = dispatcher.parent if dispatcher.propagate else None
    return False


class Veiled(dict[str, Any]):
    """Headers whose values nobody sees who looks at them, copies them or writes them down; `unveiled` gives them."""

    __slots__ = ("_given",)

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(dict.fromkeys(given, _HIDDEN))
        self._given = given

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return (dict, (dict(self),))


def veiled(call: dict[str, Any]) -> dict[str, Any]:
    """Give the settings of a call as listeners may see them, and as `unveiled` takes them: headers may hold a key."""
    headers = call.get("extra_headers")
    return {**call, "extra_headers": Veiled(headers)} if isinstance(headers, dict) else call


def unveiled(call: dict[str, Any]) -> dict[str, Any]:
    """Give the settings of a call as they were given."""
    return {name: value._given if isinstance(value, Veiled) else value for name, value in call.items()}  # noqa: SLF001


def listened(ask: Callable[_P, _Response]) -> Callable[_P, _Response]:
    """Make a way of asking whose events and spans hold no secret: they begin once the call's settings are checked.

    The framework's span has the arguments of the method that it wraps, so this stands around it.
    """
    own = set(inspect.signature(ask).parameters)
    spanned: Any = _dispatcher.span(ask)

    def begin(llm: Any, settings: dict[str, Any]) -> Any:
        llm._check_call({name: value for name, value in settings.items() if name not in own})  # noqa: SLF001
        return spanned.__get__(llm, type(llm))

    # What is copied along is the mark by which the framework knows that a method has its span.
    if inspect.iscoroutinefunction(ask):

        @functools.wraps(ask)
        async def aouter(llm: Any, *args: Any, **settings: Any) -> Any:
            return await begin(llm, settings)(*args, **veiled(settings))

        return cast("Callable[_P, _Response]", aouter)

    @functools.wraps(ask)
    def outer(llm: Any, *args: Any, **settings: Any) -> Any:
        return begin(llm, settings)(*args, **veiled(settings))

    return cast("Callable[_P, _Response]", outer)


# Where nobody listens, the events are left out: they validate the whole history, and again for each piece of a stream.


def whole(
    llm: LLM, told: Callable[..., Any], alone: Callable[..., _Response], asked: Any, call: Mapping[str, Any]
) -> _Response:
    """Give a whole answer.

    Args:
        llm: Who is asked.
        told: The way that tells listeners.
        alone: The way that tells nobody.
        asked: Messages or a prompt.
        call: The call's settings.

    """
    if is_watched(llm):
        return cast("_Response", told(asked, **call))
    wait_for_turn(llm)
    return alone(asked, **call)


async def awhole(
    llm: LLM, told: Callable[..., Any], alone: Callable[..., Awaitable[_Response]], asked: Any, call: Mapping[str, Any]
) -> _Response:
    """Do what `whole` does, without blocking the event loop."""
    if is_watched(llm):
        return cast("_Response", await told(asked, **call))
    await await_turn(llm)
    return await alone(asked, **call)


def streamed(
    llm: LLM,
    told: Callable[..., Any],
    alone: Callable[..., Generator[_Response, None, None]],
    asked: Any,
    call: Mapping[str, Any],
) -> Generator[_Response, None, None]:
    """Do what `whole` does, for an answer that comes piece by piece."""
    if is_watched(llm):
        with noted_streams() as streams:
            pieces = told(asked, **call)
        return closed_together(pieces, streams)
    wait_for_turn(llm)
    return alone(asked, **call)


async def astreamed(
    llm: LLM,
    told: Callable[..., Any],
    alone: Callable[..., Awaitable[AsyncGenerator[_Response, None]]],
    asked: Any,
    call: Mapping[str, Any],
) -> AsyncGenerator[_Response, None]:
    """Do what `streamed` does, without blocking the event loop."""
    if is_watched(llm):
        with noted_streams() as streams:
            pieces = await told(asked, **call)
        return aclosed_together(pieces, streams)
    await await_turn(llm)
    return await alone(asked, **call)


def begun(pieces: _Response) -> _Response:
    """Note a stream that a call of the framework's wrapper begins."""
    streams = _begun.get()
    if streams is not None:
        pieces = cast("_Response", Unlisted(pieces)) if isinstance(pieces, AsyncGenerator) else pieces
        streams.append(pieces)
    return pieces


@contextmanager
def noted_streams() -> Iterator[list[Any]]:
    """Give the streams that begin inside."""
    streams: list[Any] = []
    token = _begun.set(streams)
    try:
        yield streams
    finally:
        _begun.reset(token)


# A listener that keeps the event of a stream's early end keeps its frames alive, and in them the stream.


def closed_together(told: Generator[_Response, None, None], streams: list[Any]) -> Generator[_Response, None, None]:
    """Pass on what the framework's wrapper gives, and close the streams under it when nobody reads any more."""
    try:
        with closing(told):
            yield from told
    finally:
        for stream in streams:
            stream.close()


async def aclosed_together(
    told: AsyncGenerator[_Response, None], streams: list[Any]
) -> AsyncGenerator[_Response, None]:
    """Do what `closed_together` does, for async streams."""
    try:
        async with aclosing(Unlisted(told)) as owned:
            async for response in owned:
                yield response
    finally:
        for stream in streams:
            await stream.aclose()


def wait_for_turn(llm: LLM) -> None:
    """Wait for the LLM's rate limiter, where it has one; older frameworks know none."""
    limiter = getattr(llm, "rate_limiter", None)
    if limiter is not None:
        limiter.acquire()


async def await_turn(llm: LLM) -> None:
    """Do what `wait_for_turn` does, without blocking the event loop."""
    limiter = getattr(llm, "rate_limiter", None)
    if limiter is not None:
        await limiter.async_acquire()
