"""Every fault on every asker that is installed here, the line ended at some places; `make faults` ends it at each."""

from __future__ import annotations

import pytest

from tests.faults.matrix import Matrix, libraries
from tests.faults.subjects import installed, subjects

STEP = 61
CELLS = [
    pytest.param(framework, library, subject.name, id=f"{subject.name}, {library}")
    for framework in installed()
    for library in libraries()
    for subject in subjects(framework)
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("framework", "library", "asker"), CELLS)
def test_every_fault_ends_in_the_whole_answer_or_a_typed_error(framework: str, library: str, asker: str) -> None:
    report = Matrix(framework, library, STEP).run(asker)
    assert report.wrong == []
    assert report.cells > 350
    assert report.endings["whole"] > 15
