"""Asks the gateway about the account behind a key: who it is, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kilocode_gateway.models import amount_text
from kilocode_gateway.transport import Transport
from kilocode_gateway.wire.values import as_dict, as_dicts, as_str

if TYPE_CHECKING:
    from kilocode_gateway.config import GatewayConfig

_SECONDS = 10.0
PROFILE, BALANCE = "/api/profile", "/api/profile/balance"
"""On the gateway's host, outside its base (server source, 2026). Unlike the model list, they tell a key that is bad."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left on an account."""

    amount: Decimal | None
    """In USD; below zero when more was used than paid. None when it was not told."""
    is_depleted: bool | None
    """Whether only free models answer; None when it was not told."""

    def told(self) -> str:
        """Say what is left and, where nothing is, what to do."""
        amount = "not told" if self.amount is None else f"{amount_text(self.amount)} USD"
        if self.is_depleted is not True:
            return amount
        return f"{amount}, used up: only free models answer. Add credits at https://app.kilo.ai/profile."

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Balance:
        """Read the gateway's answer, with any of its fields missing or odd."""
        depleted = answer.get("isDepleted")
        return cls(_usd(answer.get("balance")), depleted if isinstance(depleted, bool) else None)


@dataclass(frozen=True, slots=True)
class Profile:
    """Who a key belongs to."""

    name: str
    """The e-mail address, else the name; empty when neither was told."""
    organizations: dict[str, str]
    """The names of the organizations that the user belongs to, by id."""

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Profile:
        """Read the gateway's answer, with any of its fields missing or odd."""
        user = as_dict(answer.get("user"))
        listed = as_dicts(answer.get("organizations"))
        return cls(
            as_str(user.get("email")) or as_str(user.get("name")),
            {as_str(one.get("id")): as_str(one.get("name")) for one in listed if as_str(one.get("id"))},
        )


def ask_balance(config: GatewayConfig) -> Balance:
    """Ask what is left: for the organization's, where one is set.

    Raises:
        KiloCodeError: If the gateway does not tell.

    """
    return Balance.read(_ask(config, BALANCE))


def ask_profile(config: GatewayConfig) -> Profile:
    """Ask who the key belongs to.

    Raises:
        KiloCodeError: If the gateway does not tell.

    """
    return Profile.read(_ask(config, PROFILE))


def _ask(config: GatewayConfig, path: str) -> dict[str, Any]:
    return Transport(config, timeout=_SECONDS, max_retries=1).request("GET", path)


def _usd(value: object) -> Decimal | None:
    """Read an amount, which may be below zero."""
    told = Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return told if told is not None and told.is_finite() else None
