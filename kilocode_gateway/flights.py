"""Lets any number of threads and event loops wait for one piece of work that is under way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """A piece of work that somebody does and others wait for, each in his own thread or event loop.

    Args:
        seconds: How long the work may take.

    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.thread: int | None = None
        """The thread whose event loop does the work, so that this thread must not wait for it; None for any other."""
        self._future: Future[T] = Future()
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self._future.done()

    @property
    def overdue(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() >= self._end

    @property
    def seconds_left(self) -> float:
        """The seconds until then; never so few that they are no time limit."""
        return max(0.001, self._end - time.monotonic())

    def land(self, result: T) -> bool:
        """End it with a result; False when it had ended already."""
        with self._lock:
            if self._future.done():
                return False
            self._future.set_result(result)
            return True

    def abandon(self) -> None:
        """End it without a result: who waits for it has to begin anew."""
        with self._lock:
            self._future.cancel()

    def result(self) -> T | None:
        """Give what it came to; None when it was abandoned or has not ended."""
        return self._future.result() if self._future.done() and not self._future.cancelled() else None

    def wait(self, seconds: float) -> None:
        """Block until it has ended, or the seconds are over."""
        ended = threading.Event()
        self._future.add_done_callback(lambda _future: ended.set())
        ended.wait(seconds)

    async def wait_async(self, seconds: float) -> None:
        """Wait until it has ended, or the seconds are over, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def wake(_future: Future[T]) -> None:
            # The loop may be closed by now: then nobody waits there any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ended.set)

        self._future.add_done_callback(wake)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), seconds)
