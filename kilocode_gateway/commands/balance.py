"""`balance`: what is left on the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilocode_gateway.account import ask_balance
from kilocode_gateway.commands.terminal import OK, write_json
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.errors import AuthenticationError
from kilocode_gateway.models import decimal_text

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Tell what is left.

    Raises:
        KiloCodeError: If there is no key, or the gateway does not tell.

    """
    config = GatewayConfig.resolve()
    if config.api_key is None:
        msg = (
            "No API key is set, so there is no account to ask about. Set KILOCODE_API_KEY (the key is in your profile "
            "at app.kilo.ai). Free models answer without one: `python -m kilocode_gateway models --free` lists them."
        )
        raise AuthenticationError(msg)
    balance = ask_balance(config)
    if arguments.json:
        write_json(
            {
                "balance_usd": None if balance.amount is None else decimal_text(balance.amount),
                "is_depleted": balance.is_depleted,
                "organization_id": config.organization_id,
            }
        )
        return OK
    whose = "" if config.organization_id is None else f" (organization {config.organization_id})"
    print(f"{balance.told()}{whose}")
    return OK
