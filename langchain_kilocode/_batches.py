"""Asks for several things at once, a bounded number at a time, and gives the answers in their order."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Q = TypeVar("Q")
A = TypeVar("A")


def each(ask: Callable[[Q], A], questions: Sequence[Q], at_once: int) -> list[A]:
    """Ask every question, in threads that carry the caller's context.

    After the first error no further question is asked. Those under way are waited for, so that nothing goes on, and is
    paid for, behind the caller's back; then that error is raised.
    """
    workers = min(at_once, len(questions))
    if workers < 2:  # noqa: PLR2004 - one alone needs no thread
        return [ask(question) for question in questions]
    waiting, answers, errors = enumerate(questions), dict[int, A](), list[BaseException]()
    lock, over = threading.Lock(), threading.Event()

    def work() -> None:
        while True:
            with lock:
                step = None if over.is_set() else next(waiting, None)
            if step is None:
                return
            try:
                answers[step[0]] = ask(step[1])
            except BaseException as exc:  # noqa: BLE001 - it is raised by the caller's thread
                over.set()
                errors.append(exc)

    with ThreadPoolExecutor(workers, thread_name_prefix="kilocode-batches") as pool:
        try:
            for working in [pool.submit(copy_context().run, work) for _ in range(workers)]:
                working.result()
        finally:
            over.set()
    try:
        if errors:
            raise errors[0]
    finally:
        # The error's traceback leads to this frame, which must not lead back to it.
        errors.clear()
    return [answers[number] for number in range(len(questions))]


async def aeach(ask: Callable[[Q], Awaitable[A]], questions: Sequence[Q], at_once: int) -> list[A]:
    """Ask every question, in tasks of this event loop. The first error cancels those under way, and is raised."""
    waiting, answers = enumerate(questions), dict[int, A]()

    async def work() -> None:
        for number, question in waiting:
            answers[number] = await ask(question)

    first: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(questions))):
                group.create_task(work())
    except BaseExceptionGroup as failed:
        first = failed.exceptions[0]
    try:
        if first is not None:
            raise first
    finally:
        # The error's traceback leads to this frame, which must not lead back to it.
        first = None
    return [answers[number] for number in range(len(questions))]
