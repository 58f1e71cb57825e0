"""Who asks: each class of each framework that is installed, in each of its ways, and the catalog."""

from __future__ import annotations

import importlib
import importlib.metadata
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.asking import Subject

# Module -> the distribution that must be installed for it. Our own wheel brings a folder `llama_index` everywhere.
FRAMEWORKS = {"lc": "langchain-openai", "li": "llama-index-core", "catalog": "kilocode-gateway"}


def installed() -> list[str]:
    """Name the modules whose askers can be run here."""
    found = []
    for name, needs in FRAMEWORKS.items():
        with suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(needs)
            found.append(name)
    return found


def subjects(framework: str) -> list[Subject]:
    """Give the askers of a module."""
    found: list[Subject] = importlib.import_module(f"tests.faults.{framework}").SUBJECTS
    return found
