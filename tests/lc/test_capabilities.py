"""The capability table tells the truth about ChatKiloCode: its column is measured anew and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

PAGE = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks" / "capabilities.py").is_file(), reason="the probes are in the checkout only"
)
RENEW = "run `make capabilities`, which measures again and writes the table"


def _written() -> dict[str, dict[str, str]]:
    from benchmarks.capabilities import read

    return read(PAGE.read_text(encoding="utf-8"))[1]


def test_every_row_has_a_cell_for_every_class() -> None:
    from benchmarks.capabilities import SUBJECTS, rows, titles

    written = _written()
    assert list(written) == list(SUBJECTS), RENEW
    for name, column in written.items():
        assert list(column) == titles(rows()), f"{name}: {RENEW}"
        assert all(column.values()), f"{name} has empty cells: {RENEW}"


def test_the_column_of_chatkilocode_is_what_is_measured_now() -> None:
    from benchmarks.capabilities import measure, rows, titles

    names = rows()
    written = _written()["ChatKiloCode"]
    measured = dict(zip(titles(names), measure("ChatKiloCode", names).values(), strict=True))
    changed = [
        f"{title}: written {written.get(title)!r}, now {cell.verdict!r}\n{cell.details}"
        for title, cell in measured.items()
        if written.get(title) != cell.verdict
    ]
    assert not changed, "\n".join([*changed, f"Where the new cells are right, {RENEW}."])


def test_titles_are_unique() -> None:
    from benchmarks.capabilities import rows, titles

    found = titles(rows())
    assert len(set(found)) == len(found)
