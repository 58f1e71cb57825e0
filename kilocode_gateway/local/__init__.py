"""A gateway on this machine, for trying things without a key and for tests: it speaks the wire, and is no model."""

from __future__ import annotations

from kilocode_gateway.local.recorded import RecordedRequest
from kilocode_gateway.local.reply import Reply
from kilocode_gateway.local.serve import run
from kilocode_gateway.local.server import LocalGateway

__all__ = ["LocalGateway", "RecordedRequest", "Reply", "run"]
