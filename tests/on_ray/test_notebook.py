"""The notebook shows what it prints, in the environment that has Ray."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.on_ray.jobs import NOTEBOOK

CHECK = NOTEBOOK.parents[1] / ".ci" / "notebooks.py"


@pytest.mark.timeout(300)
def test_the_notebook_shows_what_it_prints_without_a_key() -> None:
    command = [sys.executable, str(CHECK), "--check", str(NOTEBOOK)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert not done.returncode, f"{done.stdout}{done.stderr[-3000:]}"
