"""The benchmark of speed: every goal is measured, every piece of work runs, and the pages show what was measured."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.speed import report
from benchmarks.speed.__main__ import measure
from benchmarks.speed.goals import GOALS, MEASURED, Goal, Measured
from benchmarks.speed.server import answer, start
from benchmarks.speed.subjects import BY_NAME
from benchmarks.speed.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
WORKS: dict[str, dict[str, Any]] = {
    "stream": {"answer": "text-30"},
    "events": {"answer": "text-30"},
    "request": {"messages": 3, "times": 2},
    "picture": {},
    "objects": {},
    "imported": {"module": "json"},
}
RENEW = "run `make bench`, which measures again and writes the pages"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process, found = start()
    yield found
    process.communicate()


@pytest.fixture(scope="module")
def worker(address: str) -> Iterator[Callable[[str], Worker]]:
    """Give the process of a subject, in this environment."""
    with ExitStack() as stack:

        @cache
        def begin(name: str) -> Worker:
            found = Worker(name, sys.executable, address)
            stack.callback(found.stop)
            return found

        yield begin


def test_every_goal_is_measured() -> None:
    keys = {work.key(subject) for work in MEASURED for subject in work.subjects}
    assert {goal.ours for goal in GOALS} | {goal.beside for goal in GOALS if goal.beside} <= keys
    assert len({goal.title for goal in GOALS}) == len(GOALS)
    assert {subject for work in MEASURED for subject in work.subjects} == set(BY_NAME)


CLIENTS = ("httpx", "openai")
MODELS = ("ChatKiloCode", "KiloCode", "ChatOpenAI", "OpenAILike")
RUN = [
    *((work, name) for work in ("stream", "request", "picture", "imported") for name in (*CLIENTS, *MODELS)),
    *(("objects", name) for name in MODELS),
    *(("events", name) for name in ("ChatKiloCode", "KiloCode")),
]


@pytest.mark.parametrize(("work", "name"), RUN)
def test_every_work_runs(worker: Callable[[str], Worker], work: str, name: str) -> None:
    figures = worker(name).run(work, WORKS[work])
    assert figures["cpu"] > 0
    assert figures.get("given", 30) >= 30
    assert figures.get("copies", 1.0) >= 1


@pytest.mark.parametrize("name", ["ChatKiloCode", "KiloCode"])
def test_what_is_held_in_memory_is_little_on_any_machine(worker: Callable[[str], Worker], name: str) -> None:
    assert worker(name).run("picture", {})["copies"] <= 3
    more = worker(name).run("objects", {})
    assert more["bytes"] <= 10 * 1024
    assert more["files"] == 0


@pytest.mark.parametrize("name", ["ChatKiloCode", "KiloCode"])
@pytest.mark.parametrize("kind", ["text", "reasoning", "tools"])
@pytest.mark.parametrize("framed", ["", "-apart", "-joined"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_streams_of_every_kind_arrive(
    worker: Callable[[str], Worker], name: str, kind: str, framed: str, way: str
) -> None:
    given = worker(name).run("stream", {"answer": f"{kind}-30{framed}", "way": way})["given"]
    assert given >= 30 if (kind, framed) != ("tools", "-joined") else 2 <= given < 30


def test_a_failure_of_a_subject_ends_the_run(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="worker of httpx"):
        measure([Measured("", "no_such_work", (), ("httpx",))], {"langchain": sys.executable}, address)
    assert "no_such_work" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("values", "reached"),
    [
        ([0.9, 0.95, 1.0], True),
        ([0.9, 1.04, 0.95], True),  # near in one run, and the median holds
        ([0.9, 1.06, 0.95], False),
        ([1.01, 1.02, 0.95], False),
    ],
)
def test_when_a_goal_is_reached(values: list[float], reached: bool) -> None:
    assert Goal("", "ours", 1.0).is_reached(values) is reached
    assert not Goal("", "ours", 0).is_reached([0, 0, 50])
    above = [2 - value for value in values]
    assert Goal("", "ours", 1.0, way="at least").is_reached(above) is reached


def test_a_stream_holds_what_its_name_says() -> None:
    found = b"".join(answer("text-7")).decode()
    assert found.count("data: {") == 9
    assert "word6 " in found
    assert "word7 " not in found
    assert len(answer("text-7-apart")) == 12


def _measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "speed" / "result.json").read_text(encoding="utf-8"))
    return found


def test_the_pages_show_what_was_measured() -> None:
    told = _measured()
    page = (ROOT / "benchmarks" / "speed" / "README.md").read_text(encoding="utf-8")
    assert page == report.page(told["runs"], told), RENEW
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{report.BEGIN}\n{report.short(told['runs'])}{report.END}" in readme, RENEW


def test_the_json_tells_every_run() -> None:
    told = _measured()
    keys = {work.key(subject) for work in MEASURED for subject in work.subjects}
    assert len(told["runs"]) >= 3
    assert all(set(run) == keys for run in told["runs"]), RENEW
