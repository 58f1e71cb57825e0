"""Who asks: each class of each framework that is installed, in each of its ways, and the catalog."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.asking import Subject

# Module -> what must be installed for it.
FRAMEWORKS = {"lc": "langchain_openai", "li": "llama_index", "catalog": "kilocode_gateway"}


def installed() -> list[str]:
    """Name the modules whose askers can be run here."""
    return [name for name, needs in FRAMEWORKS.items() if importlib.util.find_spec(needs)]


def subjects(framework: str) -> list[Subject]:
    """Give the askers of a module."""
    found: list[Subject] = importlib.import_module(f"tests.faults.{framework}").SUBJECTS
    return found
