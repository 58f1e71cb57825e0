"""Whether anybody listens to an LLM's events, so that none is built in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.null import NullEventHandler

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

_dispatcher = get_dispatcher("llama_index.core.llms.callbacks")
"""The one to which the framework's callback wrapper gives the events of chats."""


def is_watched(llm: LLM) -> bool:
    """Tell whether a callback handler or an event handler is there for this LLM."""
    if getattr(llm.callback_manager, "handlers", None):
        return True
    dispatcher: Any = _dispatcher
    while dispatcher is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in dispatcher.event_handlers):
            return True
        dispatcher = dispatcher.parent if dispatcher.propagate else None
    return False


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
