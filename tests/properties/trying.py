"""What a process does that tries properties; a module of its own, so that every process can import it."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import threading
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.properties.holding import PROPERTIES

OUTSIDE = ("KILO", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "LLAMA_")


class Outcome(NamedTuple):
    """What a batch came to."""

    name: str
    tried: int
    failure: str


def collect() -> list[str]:
    """Import every module of properties, and say which cannot be used here."""
    left_out = []
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        try:
            importlib.import_module(f"tests.properties.{path.stem}")
        except pytest.skip.Exception as exc:
            left_out.append(f"{path.stem} is left out: {exc}")
    return left_out


def prepare(folder: str) -> None:
    """Make a process ready: no settings from outside, a cache folder of its own, warnings as errors."""
    for name in list(os.environ):
        if name.upper().startswith(OUTSIDE):
            del os.environ[name]
    os.environ["KILOCODE_CACHE_DIR"] = str(Path(folder) / f"cache-{os.getpid()}")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    collect()
    warnings.simplefilter("error")


def _end_with_parent() -> None:
    """Leave when the process that started this one is gone, since nothing would wake a worker then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def attempt(name: str, seed: int) -> Outcome:
    """Try one batch of a property."""
    return Outcome(name, *PROPERTIES[name].attempt(seed))


def seed_of(run: int, name: str, batch: int) -> int:
    """Give the seed of one batch of a property, which depends on nothing but the run's seed and its own place."""
    return random.Random(f"{run}/{name}/{batch}").getrandbits(64)
