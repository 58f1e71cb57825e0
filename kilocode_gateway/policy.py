"""How long to wait for what: time limits in every form that users give, and when a failed attempt is worth another."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from kilocode_gateway.errors import KiloCodeError

Timeouts = dict[str, "float | None"]
"""Seconds for `connect`, `read`, `write` and `pool`, None for no limit: httpx and httpx2 both take this form."""

CONNECT_SECONDS = 10.0
_LONGEST = 1e8
"""Seconds (three years) that the operating system's clocks can still count; a longer limit is none."""
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Decides, from what is known after a failed attempt, how long to wait before the next one."""

    max_retries: int = 2
    """Attempts after the first."""
    first_wait: float = 0.5
    """Seconds before the second attempt; doubled each time."""
    longest_wait: float = 8.0
    """Seconds that the doubling never exceeds."""
    longest_asked: float = 60.0
    """Seconds of waiting that the gateway may ask for; with more, the error is raised at once."""

    def wait(
        self, error: KiloCodeError, attempt: int, time_left: float | None = None, jitter: float | None = None
    ) -> float | None:
        """Give the seconds to wait before trying again, or None to give up.

        Args:
            error: What the attempt came to.
            attempt: How many attempts came before it, from 0.
            time_left: The seconds that the call may still take, None for any number.
            jitter: A number from 0 to 1 that shortens the wait by up to a quarter; random unless given.

        """
        if attempt >= self.max_retries or not error.retryable:
            return None
        # Asking for no wait at all asks for nothing: the doubling then keeps a crowd of clients apart.
        seconds = error.retry_after or None
        if seconds is None:
            part = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
            seconds = min(self.first_wait * 2 ** min(attempt, _MOST_DOUBLINGS), self.longest_wait) * (1 - part / 4)
        elif seconds > self.longest_asked:
            return None
        return None if time_left is not None and seconds >= time_left else seconds


def timeouts_of(timeout: object) -> Timeouts:
    """Read a time limit in any form that users of the frameworks give.

    Args:
        timeout: Seconds for each read, a pair (connect, read), a `Timeout` of httpx or httpx2, or None for no limit.

    Raises:
        ConfigurationError: If it is of another form, or not positive.

    """
    if hasattr(timeout, "as_dict"):
        return {name: _countable(seconds) for name, seconds in cast("Any", timeout).as_dict().items()}
    pair = isinstance(timeout, tuple) and len(timeout) == 2  # noqa: PLR2004 - a pair
    limits = cast("tuple[Any, Any]", timeout if pair else (None, timeout))
    for seconds in limits:
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0
        ):
            msg = (
                "A timeout must be a positive number of seconds, a pair (connect, read), an httpx Timeout or None, "
                f"got {timeout!r}."
            )
            raise ConfigurationError(msg)
    connect, read = limits
    if connect is None:
        connect = CONNECT_SECONDS if read is None else min(CONNECT_SECONDS, read)
    read = _countable(read)
    return {"connect": _countable(connect), "read": read, "write": read, "pool": read}


def _countable(seconds: float | None) -> float | None:
    return None if seconds is None or seconds > _LONGEST else seconds
