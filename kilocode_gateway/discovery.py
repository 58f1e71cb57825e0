"""Asks a gateway for a list once, for all who want it at the same time; where that fails, what is at hand serves."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import AuthenticationError, ConfigurationError, KiloCodeError, TimeoutExceededError
from kilocode_gateway.flights import Flight
from kilocode_gateway.http import Answer, aget, get

if TYPE_CHECKING:
    Identity = tuple[str, str | None]
    """A gateway's address and an organization."""

T = TypeVar("T", bound=Mapping[str, Any])
S = TypeVar("S", bound="Slot[Any]")

_log = logging.getLogger("kilocode_gateway")

FETCH_SECONDS = 5.0
"""How long a fetch may take, unless the caller says otherwise."""
RETRY_SECONDS = 60.0
"""How long a failed fetch is not tried again."""
LOOK_SECONDS = 2.0
"""How long an event loop is held up, once in a process, for a model that nothing at hand knows."""
# The fetch keeps to its limit by itself, and says better what it waited for. Who waits for it gives it this much more:
# the look-up of a host's name, headers that trickle in and a pool of threads without a free one know no limit.
_GRACE = 0.25


def checked(timeout: object, client: Any) -> float:
    """Give the time limit of a fetch, once it and the client that was handed in can be used.

    Raises:
        ConfigurationError: If the limit is no positive number, or the client is closed.

    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError(f"The timeout of a fetch must be a positive number of seconds, got {timeout!r}.")
    if getattr(client, "is_closed", False):
        raise ConfigurationError("The HTTP client that was handed in is closed. Hand in an open one, or none.")
    return float(timeout)


def anonymous(config: GatewayConfig) -> GatewayConfig:
    """Keep where the gateway is, and drop who asks."""
    return GatewayConfig(base_url=config.base_url, feature=config.feature)


class Slot(ABC, Generic[T]):
    """What this process knows of one list of one gateway and organization, and the fetch that is under way.

    A subclass says which list that is, how it is read, and what serves where there is none.
    """

    path: ClassVar[str]
    """Where the list is, below the gateway's address."""
    name: ClassVar[str]
    """What is listed, in the words of the warning."""
    bundled: T
    """The list that comes with the package."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.known: T | None = None
        """The newest list; None while there is none."""
        self._lock = threading.Lock()
        self._flight: Flight[T] | None = None
        self._failing: Flight[T] | None = None
        self._failed = float("-inf")
        self._waited = False

    @abstractmethod
    def read(self, answer: Answer) -> T:
        """Read the gateway's answer.

        Raises:
            MalformedReplyError: If it is no such list.

        """

    @abstractmethod
    def described(self, given: T) -> str:
        """Say in the words of the warning which list serves instead of the gateway's."""

    def is_fresh(self, known: T) -> bool:  # noqa: ARG002 - a subclass may look at it
        """Say whether a list need not be fetched anew."""
        return True

    def stale(self, known: T) -> T:
        """Give a list as it is from now on, since it could not be fetched anew."""
        return known

    def seek(self) -> None:
        """Look whether another process has left a list, where the subclass keeps it on disk."""

    def at_hand(self) -> T:
        """Give what is known without a request."""
        return self.bundled if self.known is None else self.known

    def discover(self, config: GatewayConfig, seconds: float, client: Any, *, refresh: bool) -> T:
        """Give the list; however many ask at once, one fetch serves them all, and a failure is no error.

        Args:
            config: The gateway and who asks.
            seconds: How long the whole fetch may take.
            client: An HTTP client to use instead of the shared one.
            refresh: Fetch even when a fresh list is at hand, or the last fetch has just failed.

        """
        while True:
            entered = self._enter(seconds, refresh=refresh)
            if isinstance(entered, Mapping):
                return entered
            flight, mine = entered
            if mine:
                self._launch(flight, config, seconds, client)
            flight.wait(seconds + _GRACE)
            result = self._result(flight, config, seconds)
            if result is not None:
                return result

    async def adiscover(self, config: GatewayConfig, seconds: float, client: Any, *, refresh: bool) -> T:
        """Do what `discover` does, without blocking the event loop; the client is an async one."""
        while True:
            entered = self._enter(seconds, refresh=refresh, waits=True)
            if isinstance(entered, Mapping):
                return entered
            flight, mine = entered
            if mine and client is not None:
                await self._fly_here(flight, config, seconds, client)
            elif mine:
                self._launch(flight, config, seconds, None)
            await flight.wait_async(seconds + _GRACE)
            result = self._result(flight, config, seconds)
            if result is not None:
                return result

    def begin(self, config: GatewayConfig, client: Any) -> T:
        """Give what is at hand, and fetch in the background where a fetch is due."""
        entered = self._enter(FETCH_SECONDS, refresh=False)
        if isinstance(entered, Mapping):
            return entered
        flight, mine = entered
        known = self.at_hand()
        if mine:
            self._launch(flight, config, FETCH_SECONDS, client)
        return known

    def wait_once(self, seconds: float) -> T:
        """Give the list that a fetch under way brings, if it is there in time; only the first asker is held up."""
        with self._lock:
            flight, first, self._waited = self._flight, not self._waited, True
        if first and flight is not None:
            flight.wait(seconds)
        return self.at_hand()

    def _enter(self, seconds: float, *, refresh: bool, waits: bool = False) -> T | tuple[Flight[T], bool]:
        """Give the list where nothing has to be fetched, else the fetch to wait for and whether the asker does it.

        Args:
            seconds: How long a fetch may take.
            refresh: Whether a fresh list and a recent failure count.
            waits: Whether the asker waits without blocking its thread.

        """
        if not refresh and self._good_enough() is None and (self._flight is None or self._flight.done):
            self.seek()
        with self._lock:
            known = None if refresh else self._good_enough()
            if known is not None:
                return known
            flight = self._flight
            if flight is not None and not flight.done and (waits or flight.thread != threading.get_ident()):
                return flight, False
            self._flight = Flight(seconds)
            return self._flight, True

    def _good_enough(self) -> T | None:
        known = self.known
        if known is not None and self.is_fresh(known):
            return known
        if time.monotonic() - self._failed >= RETRY_SECONDS:
            return None
        return self.bundled if known is None else known

    def _launch(self, flight: Flight[T], config: GatewayConfig, seconds: float, client: Any) -> None:
        # A thread of its own: an event loop is not blocked, a cancelled asker takes nobody along, and whoever has
        # waited long enough can go.
        arguments, name = (flight, config, seconds, client), f"kilocode-gateway-{self.path}"
        try:
            threading.Thread(target=self._fly, args=arguments, name=name, daemon=True).start()
        except RuntimeError:
            self._fly(*arguments)

    def _fly(self, flight: Flight[T], config: GatewayConfig, seconds: float, client: Any) -> None:
        try:
            try:
                answer = get(config, self.path, timeout=seconds, client=client)
            except AuthenticationError:
                if not _has_needless_key(config):
                    raise
                answer = get(anonymous(config), self.path, timeout=flight.seconds_left, client=client)
            self._land(flight, self.read(answer))
        except Exception as exc:  # noqa: BLE001 - a client that was handed in may raise anything
            self._fail(flight, config, exc)

    async def _fly_here(self, flight: Flight[T], config: GatewayConfig, seconds: float, client: Any) -> None:
        """Fetch with a client that belongs to this event loop."""
        flight.thread = threading.get_ident()
        try:
            async with asyncio.timeout(seconds + _GRACE):
                try:
                    answer = await aget(config, self.path, timeout=seconds, client=client)
                except AuthenticationError:
                    if not _has_needless_key(config):
                        raise
                    answer = await aget(anonymous(config), self.path, timeout=flight.seconds_left, client=client)
                self._land(flight, await asyncio.to_thread(self.read, answer))
        except TimeoutError:
            self._fail(flight, config, self._too_slow(config, seconds))
        except Exception as exc:  # noqa: BLE001 - a client that was handed in may raise anything
            self._fail(flight, config, exc)
        finally:
            flight.abandon()

    def _land(self, flight: Flight[T], found: T) -> None:
        with self._lock:
            self.known = found
            self._failed = float("-inf")
        flight.land(found)

    def _fail(self, flight: Flight[T], config: GatewayConfig, reason: Exception) -> None:
        if self.known is None:
            self.seek()
        with self._lock:
            if flight.done or self._failing is flight:
                return
            self._failing = flight
            self._failed = time.monotonic()
            if self.known is not None:
                self.known = self.stale(self.known)
            given = self.bundled if self.known is None else self.known
        # Whoever waits goes on when the warning has been given, not before.
        try:
            self._warn(config, reason, given)
        finally:
            flight.land(given)

    def _result(self, flight: Flight[T], config: GatewayConfig, seconds: float) -> T | None:
        """Give what a flight came to, once nobody waits for it any longer; None where it has to be tried anew."""
        if flight.done:
            return flight.result()
        reason = self._too_slow(config, seconds)
        if flight.overdue:
            self._fail(flight, config, reason)
            return flight.result()
        given = self.at_hand()
        self._warn(config, reason, given)
        return given

    def _too_slow(self, config: GatewayConfig, seconds: float) -> TimeoutExceededError:
        url = config.url(self.path)
        return TimeoutExceededError(f"The answer from {url} took longer than {seconds:g} seconds.", url=url)

    def _warn(self, config: GatewayConfig, reason: Exception, given: T) -> None:
        told = str(reason) if isinstance(reason, KiloCodeError) else f"{type(reason).__name__}: {reason}"
        text = "The %s of %s could not be discovered; used instead: %s. %s"
        _log.warning(text, self.name, config.base_url, self.described(given), told)


def _has_needless_key(config: GatewayConfig) -> bool:
    """Say whether to ask anew without the key that was refused, as the gateway's own client does (autumn 2026)."""
    return config.api_key is not None and config.organization_id is None


class Memory(Generic[S]):
    """The slots of this process for one kind of list, each made when it is first asked for."""

    def __init__(self, make: Callable[[Identity], S]) -> None:
        self._make = make
        self._slots: dict[Identity, S] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def of(self, identity: Identity) -> S:
        """Give the slot of a gateway and organization."""
        # Two threads that make one at once get the same, for the first stays.
        return self._slots.get(identity) or self._slots.setdefault(identity, self._make(identity))

    def _renew(self) -> None:
        """Keep what is known, but no lock and no fetch: those are of the process that was forked."""
        for identity, slot in list(self._slots.items()):
            self._slots[identity] = self._make(identity)
            self._slots[identity].known = slot.known
