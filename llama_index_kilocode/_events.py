"""What an LLM's listeners are told: nothing where there are none, and no secret; their keeping keeps no stream open."""

from __future__ import annotations

from contextlib import aclosing, closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.null import NullEventHandler

from kilocode_gateway.loops import Unlisted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Mapping

    from llama_index.core.llms.llm import LLM

_Response = TypeVar("_Response")

_dispatcher = get_dispatcher("llama_index.core.llms.callbacks")
"""The one to which the framework's callback wrapper gives the events of chats."""
predictions = get_dispatcher("llama_index.core.llms.llm")
"""The one to which the framework gives the events of structured predictions."""

_SECRETS = ("extra_headers", "default_headers", "api_key")
"""Settings of a call that may hold a key. Only the first is taken; events of a refused call come before the refusal."""
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
    """Give the settings of a call as listeners may see them, and as `unveiled` takes them."""
    hidden = {name: call[name] for name in _SECRETS if call.get(name) is not None}
    return {
        **call,
        **{name: Veiled(value) if isinstance(value, dict) else _HIDDEN for name, value in hidden.items()},
    }


def unveiled(call: dict[str, Any]) -> dict[str, Any]:
    """Give the settings of a call as they were given."""
    return {name: value._given if isinstance(value, Veiled) else value for name, value in call.items()}  # noqa: SLF001


def begun(pieces: _Response) -> _Response:
    """Note a stream that a call of the framework's wrapper begins."""
    streams = _begun.get()
    if streams is not None:
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
        async with aclosing(told):
            async for response in Unlisted(told):
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
