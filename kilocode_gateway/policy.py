"""How long to wait for what: time limits in every form that users give, and when a failed attempt is worth another."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kilocode_gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilocode_gateway.errors import KiloCodeError

Timeouts = dict[str, "float | None"]
"""Seconds for `connect`, `read`, `write` and `pool`, None for no limit: httpx and httpx2 both take this form."""

CONNECT_SECONDS = 10.0
_LONGEST = 1e8
"""Seconds (three years) that the operating system's clocks can still count; a longer limit is none."""
_SHORTEST = 0.001
"""Seconds: a limit of none at all would mean something else to the HTTP library."""
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


class Deadline:
    """When a call must have ended, and by when its first token must be here: counted from now, waits included.

    The time limits of the HTTP library hold for each read, so a gateway that sends keep-alive comments for ever never
    exceeds them.

    Args:
        first_token: Seconds until something of the answer must be here, None for no limit.
        total: Seconds until the answer must be complete, None for no limit.
        name: What the setting of `total` is called.

    """

    __slots__ = ("_begin", "_first_token", "_has_begun", "_name", "_total")

    def __init__(
        self, *, first_token: float | None = None, total: float | None = None, name: str = "total_timeout"
    ) -> None:
        self._begin = time.monotonic()
        self._name = name
        self._first_token = first_token
        self._total = total
        self._has_begun = False

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._first_token is not None or self._total is not None

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        left = self.left()
        return left is not None and left <= 0

    def left(self) -> float | None:
        """Give the seconds until the nearer limit; None where there is none any more."""
        limits = [seconds for seconds in (self._limit_of_beginning, self._total) if seconds is not None]
        return self._begin + min(limits) - time.monotonic() if limits else None

    def first_token_came(self) -> None:
        """Say that the answer has begun: from now on only the total limit holds."""
        self._has_begun = True

    def exceeded(self) -> tuple[str, float]:
        """Give the name of the limit that ran out, and its seconds."""
        first, total = self._first_token, self._total
        if total is not None and (first is None or self._has_begun or total <= first):
            return self._name, total
        return "first_token_timeout", first or 0.0

    @property
    def _limit_of_beginning(self) -> float | None:
        return None if self._has_begun else self._first_token


class StepLimits(Mapping[str, "float | None"]):
    """The time limits of the steps to an answer, none longer than what is left of the call when the step begins.

    The HTTP library looks each up by its name then, and keeps the one for reading over the whole body. So once the
    answer has begun they are the plain ones again: whoever reads the body watches the clock.
    """

    def __init__(self, timeouts: Timeouts, deadline: Deadline) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self._has_begun = False

    def answer_began(self) -> None:
        """Say that the answer's headers are here."""
        self._has_begun = True

    def __getitem__(self, name: str) -> float | None:
        seconds, left = self._timeouts[name], self._deadline.left()
        if left is None or self._has_begun:
            return seconds
        left = max(left, _SHORTEST)
        return left if seconds is None else min(seconds, left)

    def __iter__(self) -> Iterator[str]:
        return iter(self._timeouts)

    def __len__(self) -> int:
        return len(self._timeouts)


def seconds_of(seconds: object, name: str) -> float | None:
    """Read a limit for a whole call.

    Args:
        seconds: A positive number, or None for no limit.
        name: The setting's name, for the error's text.

    Raises:
        ConfigurationError: If it is something else.

    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        msg = f"{name} must be a positive number of seconds, or None for no limit, got {seconds!r}."
        raise ConfigurationError(msg)
    limit = _countable(seconds)
    return None if limit is None else float(limit)


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
