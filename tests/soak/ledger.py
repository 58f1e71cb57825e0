"""The account of every request: given out once, told of once, its answer its own."""

from __future__ import annotations

import random
import threading
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kilocode_gateway import errors
from tests.soak.fates import Request, belongings, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilocode_gateway.usage import Spent
    from tests.soak.askers import Asker

_MOST_TOLD = 20


class Sums:
    """What some answers used, by what their markers say."""

    def __init__(self) -> None:
        self.answers, self.input_tokens, self.output_tokens, self.cost = 0, 0, 0, Decimal(0)

    def add(self, marker: str) -> None:
        """Count a whole answer."""
        given = belongings(marker)
        self.answers += 1
        self.input_tokens += given.prompt_tokens
        self.output_tokens += given.completion_tokens
        self.cost += given.cost

    def differs(self, spent: Spent) -> str | None:
        """Say how what a tracker counted differs, or None."""
        counted = (spent.calls - spent.calls_without_cost, spent.input_tokens, spent.output_tokens, spent.cost)
        due = (self.answers, self.input_tokens, self.output_tokens, self.cost)
        return None if counted == due else f"usage: expected answers, tokens in, out and USD {due}, counted {counted}"


class Ledger:
    """Gives requests out and takes their outcomes."""

    def __init__(self, total: int, seed: int) -> None:
        self.total = total
        self.whole, self.left, self.taken, self.quota = 0, 0, 0, 0
        self.errors: Counter[str] = Counter()
        self.by_asker: Counter[str] = Counter()
        self.sums = Sums()
        self.wrong: list[str] = []
        self._told = bytearray(total)
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def told(self) -> int:
        """How many requests were told of."""
        return sum(self._told)

    @property
    def lost(self) -> int:
        """How many of the requests have no outcome, or more than one."""
        return self.total - self.told + sum(count > 1 for count in self._told)

    def take(self, askers: Sequence[Asker]) -> tuple[Asker, Request] | None:
        """Give the next request, or None when enough were given out."""
        with self._lock:
            if self.taken >= self.quota:
                return None
            asker = self._chance.choices(askers, [asker.weight for asker in askers])[0]
            request = draw(self.taken, asker.kind, self._chance)
            self.taken += 1
            return asker, request

    def tell(self, asker: Asker, request: Request, heard: list[Any], end: BaseException | None, sums: Sums) -> None:
        """Write down what came of a request.

        Args:
            asker: Who asked.
            request: What was asked.
            heard: The pieces that came.
            end: The error in which it ended, if it did.
            sums: The asker's own account of usage.

        """
        problem = _problem(request, heard, end)
        with self._lock:
            self._told[request.number] += 1
            self.by_asker[asker.name] += 1
            if problem is not None and len(self.wrong) < _MOST_TOLD:
                self.wrong.append(f"{asker.name}, {request.fate_name}: {problem}")
            if isinstance(end, errors.KiloCodeError):
                self.errors[type(end).__name__] += 1
            elif request.fate.leaves:
                self.left += 1
            elif problem is None:
                self.whole += 1
                self.sums.add(request.marker)
                sums.add(request.marker)


def _problem(request: Request, heard: list[Any], end: BaseException | None) -> str | None:
    """Say what is wrong with an outcome, or None."""
    fate, given = request.fate, belongings(request.marker)
    if end is not None:
        if not isinstance(end, fate.ends or ()):
            return f"expected {[kind.__name__ for kind in fate.ends] or 'an answer'}, got {end!r:.300}"
        told = getattr(end, "text", None) or ""
        return None if given.text.startswith(told) else f"the error holds another's text: {told!r:.100}"
    if fate.ends:
        return f"expected {[kind.__name__ for kind in fate.ends]}, got an answer: {heard!r:.100}"
    if request.kind == "embedding":
        return None if heard == [given.vector] else f"another's vector: {heard!r:.100}"
    text = "".join(heard)
    if fate.leaves:
        return None if text and given.text.startswith(text) else f"pieces of another's answer: {text!r:.100}"
    return None if text == given.text else f"another's answer: {text!r:.100}"
