"""Keeps order in an event loop: who goes on when many are woken, and what closes what when streams and the loop end.

A loop that ends, as `asyncio.run` ends it right after the main coroutine, closes, all at once, every async generator
that was begun in it. One that is just closing another is then closed a second time, and the loop reports "asynchronous
generator is already running". So a generator with an owner that closes it is begun unlisted, and one listed generator
for each loop waits until the open answers are closed.

The garbage collector does the same to generators that it finds in a cycle together, as those are that a kept error's
frames hold: it has the loop close each of them. So an unlisted generator is left to its owner here, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import types
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


class Closable(Protocol):
    """What a loop waits for at its end."""

    async def aclose(self) -> None:
        """Close it; whoever calls second waits until it is closed."""


class _Begun(AsyncGenerator[T, None]):
    """An async generator whose first step, on whose way those inside it begin, is done under a hook of its own."""

    __slots__ = ("_has_begun", "_pieces")

    def __init__(self, pieces: AsyncGenerator[T, None]) -> None:
        self._pieces = pieces
        self._has_begun = False

    def __anext__(self) -> Coroutine[Any, Any, T]:
        if self._has_begun:
            return self._pieces.__anext__()
        self._has_begun = True
        return self._first()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:  # noqa: ARG002 - the base's signature
        """Give the next piece."""
        return self.__anext__()

    def athrow(self, *error: Any) -> Coroutine[Any, Any, T]:
        """Raise an error in the generator."""
        return self._pieces.athrow(*error)

    async def aclose(self) -> None:
        """Close the generator."""
        # While it ran for an `aclose` of its own, a collector in another thread would close it in that thread, too.
        with contextlib.suppress(GeneratorExit, StopAsyncIteration):
            await self._pieces.athrow(GeneratorExit)

    @types.coroutine
    def _first(self) -> Generator[Any, Any, T]:
        steps = self._do(self._begin, None)
        step, sent = steps.send, None
        while True:
            try:
                waited = self._do(step, sent)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the generator gave
            try:
                step, sent = steps.send, (yield waited)
            except BaseException as exc:  # noqa: BLE001 - what is thrown in is passed on
                step, sent = steps.throw, exc

    def _do(self, step: Callable[[Any], Any], sent: Any) -> Any:
        before = sys.get_asyncgen_hooks().firstiter
        sys.set_asyncgen_hooks(firstiter=self._hook(before.loops_own if isinstance(before, _Deaf) else before))
        try:
            return step(sent)
        finally:
            sys.set_asyncgen_hooks(firstiter=before)

    def _begin(self, _: None) -> Any:
        return self._pieces.__anext__().__await__()

    def _hook(self, loops_own: Any) -> Any:
        raise NotImplementedError


class Unlisted(_Begun[T]):
    """An async generator that its event loop does not close: its owner does.

    Those that begin inside it are not closed at the loop's end either; one of them that is dropped is, as ever.

    Args:
        pieces: One that was not begun. Its owner closes it through this, also when the owner itself is dropped.

    """

    __slots__ = ()

    def _begin(self, _: None) -> Any:
        # A generator notes who closes it if it is dropped when it is first asked; those inside it do so later.
        before = sys.get_asyncgen_hooks().finalizer
        sys.set_asyncgen_hooks(finalizer=_leave_to_its_owner)
        try:
            first = self._pieces.__anext__()
        finally:
            sys.set_asyncgen_hooks(finalizer=before)
        return first.__await__()

    def _hook(self, loops_own: Any) -> Any:
        return _Deaf(loops_own)


class Listed(_Begun[T]):
    """An async generator that its event loop closes at the loop's end, also where it begins inside an unlisted one."""

    __slots__ = ()

    def _hook(self, loops_own: Any) -> Any:
        return loops_own


def _leave_to_its_owner(dropped: object) -> None:
    pass


class _Deaf:
    """Stands where a thread tells its loop of async generators that begin, and does not tell it."""

    __slots__ = ("loops_own",)

    def __init__(self, loops_own: Any) -> None:
        self.loops_own = loops_own

    def __call__(self, begun: object) -> None:
        pass


class Turns:
    """Lets those who are woken together go on one after another, each in an iteration of the event loop of its own.

    Else answers that arrive together are all read before the first asker has sent its next request, whose answers then
    arrive together again, while nobody does anything in between.
    """

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._pass_on, loop)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._pass_on, loop)
                return
        self._is_taken = False


class _Guard:
    """Holds the open answers of one event loop, and closes them at its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.answers: set[Closable] = set()
        self._waiting = Listed(self._wait())

    async def begin(self) -> None:
        await anext(self._waiting)

    async def _wait(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if _guards.get(id(self.loop)) is self:
                del _guards[id(self.loop)]
            while self.answers:
                await self.answers.pop().aclose()


_guards: dict[int, _Guard] = {}


async def close_at_the_end(answer: Closable) -> None:
    """Have an answer closed before the running event loop ends. Call `forget` when it is closed."""
    loop = asyncio.get_running_loop()
    guard = _guards.get(id(loop))
    if guard is None or guard.loop is not loop:
        for other_id, other in list(_guards.items()):
            # A loop that was closed without being shut down in good order never told its guard.
            if other.loop.is_closed():
                _guards.pop(other_id, None)
        guard = _guards[id(loop)] = _Guard(loop)
        await guard.begin()
    guard.answers.add(answer)


def forget(answer: Closable) -> None:
    """Forget an answer that is closed."""
    guard = _guards.get(id(asyncio.get_running_loop()))
    if guard is not None:
        guard.answers.discard(answer)
