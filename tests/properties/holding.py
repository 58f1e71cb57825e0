"""Properties: what holds whatever comes in. pytest tries each with a few inputs, `make fuzz` with many."""

from __future__ import annotations

import functools
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

QUICK = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    # The machine may be busy, and the inputs are large on purpose.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
"""The same few inputs in every run of the suite."""


@dataclass(slots=True)
class Property:
    """A function that raises where something does not hold, and what its arguments may be."""

    body: Callable[..., None]
    inputs: dict[str, SearchStrategy[Any]]
    batch: int
    tried: int = 0
    """How many examples it has stood."""

    def test(self, chosen: settings) -> Callable[[], None]:
        """Make a test of it."""

        @functools.wraps(self.body)
        def counted(**arguments: Any) -> None:
            self.body(**arguments)
            self.tried += 1

        test: Callable[[], None] = chosen(given(**self.inputs)(counted))
        return test

    def attempt(self, number: int) -> tuple[int, str]:
        """Try a batch of examples, or all that there are where those are fewer.

        Args:
            number: The seed from which they are drawn.

        Returns:
            How many it stood, and the failure as text, empty where there is none.

        """
        before = self.tried
        many = settings(QUICK, max_examples=self.batch, derandomize=False, phases=(Phase.generate, Phase.shrink))
        try:
            seed(number)(self.test(many))()
        except Exception:  # noqa: BLE001 - whatever it raises is the failure
            return self.tried - before, traceback.format_exc()
        return self.tried - before, ""


PROPERTIES: dict[str, Property] = {}
"""Every property whose module has been imported, as `module::name`."""


def holds(batch: int = 1000, /, **inputs: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Say what the arguments of a property may be, and make a test of it.

    Args:
        batch: How many examples are tried before other properties have their turn: fewer of what takes longer.
        inputs: Where each argument is drawn from.

    """

    def register(body: Callable[..., None]) -> Callable[[], None]:
        found = Property(body, inputs, batch)
        PROPERTIES[f"{body.__module__.rpartition('.')[2]}::{body.__name__}"] = found
        return found.test(QUICK)

    return register
