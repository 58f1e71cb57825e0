"""The rows of the capability table, in their order: importing the modules of the probes makes them."""

from __future__ import annotations

from benchmarks import (  # noqa: F401 - each registers its probes
    probes_content,
    probes_errors,
    probes_reasoning,
    probes_settings,
    probes_tools,
    probes_usage,
)
from benchmarks.probing import PROBES as _PROBES

ORDER = ("probes_content", "probes_reasoning", "probes_tools", "probes_usage", "probes_errors", "probes_settings")

PROBES = {
    name: probe for module in ORDER for name, probe in _PROBES.items() if probe.run.__module__ == f"benchmarks.{module}"
}
"""Each probe by its function's name."""
