"""A short soak, and that a soak notices what it is for."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import warnings
from decimal import Decimal

import pytest

from kilocode_gateway import errors
from kilocode_gateway.usage import Spent
from tests.soak.askers import SYNC
from tests.soak.fates import FATES, WHOLE, Request, belongings, draw
from tests.soak.ledger import Sums
from tests.soak.soak import Plan, Soak
from tests.soak.watching import Reading, Watch


def test_600_requests_are_all_accounted_for() -> None:
    command = [sys.executable, "-m", "tests.soak", "--requests", "600"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 0, done.stdout + done.stderr
    assert last.startswith("Soak: 600 requests in ")
    assert ", 0 lost; RSS " in last
    assert last.endswith("descriptors +0, threads +0, 0 warnings")
    assert done.stderr == ""


def test_every_fate_is_drawn_for_every_kind_that_it_can_happen_to() -> None:
    chance = random.Random(1)
    kinds = ("chat", "stream", "embedding")
    drawn = {(kind, draw(0, kind, chance).fate_name) for kind in kinds for _ in range(4000)}
    assert drawn == {(kind, name) for name, fate in FATES.items() for kind in fate.kinds}


def account(fate: str, heard: list[object], end: BaseException | None = None, times: int = 1) -> Soak:
    """Give a soak of one request with this outcome."""
    soak = Soak(Plan(1), lambda line: None)
    soak.first = soak.last = Reading(1000, 10, 10)
    soak.ledger.quota = 1
    taken = soak.ledger.take(SYNC)
    assert taken is not None
    for _ in range(times):
        soak.ledger.tell(taken[0], Request(0, "stream", fate, "mine"), heard, end, Sums())
    return soak


MINE, OTHERS = belongings("mine").text, belongings("another's").text
CUT = errors.StreamInterruptedError("cut").with_text(MINE[:9])
FINE = {
    "whole": account(WHOLE, [MINE[:5], MINE[5:]]),
    "cut": account("cut", [MINE[:9]], CUT),
    "left early": account("left", [MINE[:9]]),
}
WRONG = {
    "another's answer": account(WHOLE, [OTHERS]),
    "half an answer": account(WHOLE, [MINE[:40]]),
    "pieces twice": account(WHOLE, [MINE, MINE]),
    "no answer": account(WHOLE, []),
    "an error without a fault": account(WHOLE, [], CUT),
    "a fault without an error": account("cut", [MINE]),
    "an error of another kind": account("cut", [], errors.AuthenticationError("who?")),
    "an error that is none of ours": account("cut", [], OSError("reset")),
    "another's text in an error": account("cut", [], errors.StreamInterruptedError("cut").with_text(OTHERS[:9])),
    "another's pieces, left early": account("left", [OTHERS[:9]]),
    "an outcome that was never told": account(WHOLE, [MINE], times=0),
    "an outcome that was told twice": account(WHOLE, [MINE], times=2),
}


@pytest.mark.parametrize("what", FINE)
def test_an_outcome_is_fine(what: str) -> None:
    assert FINE[what].verdict == []


@pytest.mark.parametrize("what", WRONG)
def test_an_outcome_is_wrong(what: str) -> None:
    assert WRONG[what].verdict


@pytest.mark.parametrize(
    ("last", "word"),
    [
        (Reading(1000, 11, 10), "descriptors"),
        (Reading(1000, 10, 11), "threads"),
        (Reading(1060, 10, 10), "memory"),
        (Reading(1040, 10, 10), ""),
    ],
)
def test_growth_is_wrong(last: Reading, word: str) -> None:
    soak = Soak(Plan(100_000), lambda line: None)
    soak.ledger = account(WHOLE, [MINE]).ledger
    soak.first, soak.last = Reading(1000, 10, 10), last
    assert [line.split()[0] for line in soak.verdict] == ([word] if word else [])


def test_usage_must_add_up() -> None:
    given, sums = belongings("mine"), Sums()
    sums.add("mine")
    counted = Spent(calls=2, calls_without_cost=1, cost=given.cost)
    counted.input_tokens, counted.output_tokens = given.prompt_tokens, given.completion_tokens
    assert sums.differs(counted) is None
    counted.cost += Decimal("0.000001")
    assert sums.differs(counted) is not None


@pytest.mark.filterwarnings("ignore:left by another:ResourceWarning")
def test_what_was_left_before_is_not_told() -> None:
    class Left:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            warnings.warn("left by another", ResourceWarning, stacklevel=1)

    Left()
    with Watch() as watch:
        pass
    assert watch.kept == []


def test_warnings_and_errors_that_nobody_got_are_kept() -> None:
    class Careless:
        def __del__(self) -> None:
            raise LookupError("nobody listens")

    def fail() -> None:
        raise LookupError("nobody listens")

    with Watch() as watch:
        warnings.warn("unclosed socket", ResourceWarning, stacklevel=1)
        Careless()
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        logging.getLogger("asyncio").error("Task was destroyed but it is pending!")
    assert [line.split()[0].rstrip(":") for line in watch.kept] == ["ResourceWarning", "unraisable", "thread", "logged"]
