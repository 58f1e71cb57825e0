"""The capability table tells the truth about ChatKiloCode: its column is measured anew and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks" / "capabilities.py").is_file(), reason="the probes are in the checkout only"
)
RENEW = "run `make capabilities`, which measures again and writes the table"


@pytest.fixture(scope="module")
def table() -> Any:
    from benchmarks.measuring import load

    return load("lc")


def test_every_row_has_a_cell_for_every_class(table: Any) -> None:
    from benchmarks.capabilities import read, titles

    written = read(PAGE.read_text(encoding="utf-8"))
    assert list(written) == list(table.subjects), RENEW
    for name, column in written.items():
        assert list(column) == titles(table), f"{name}: {RENEW}"
        assert all(column.values()), f"{name} has empty cells: {RENEW}"


def test_the_column_of_chatkilocode_is_what_is_measured_now(table: Any) -> None:
    from benchmarks.capabilities import changes

    changed = changes(table, "ChatKiloCode", PAGE.read_text(encoding="utf-8"))
    assert not changed, "\n".join([*changed, f"Where the new cells are right, {RENEW}."])


def test_titles_are_unique(table: Any) -> None:
    from benchmarks.capabilities import titles

    found = titles(table)
    assert len(set(found)) == len(found)
