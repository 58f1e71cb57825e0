"""Everything odd about the gateway's wire, as pure functions over dicts that both frameworks call.

`settings` knows the names of request fields and `kinds` their values, `request` shapes what is sent, `reply` reads what
comes back.
"""

from kilocode_gateway.wire.kinds import check_values, misfits
from kilocode_gateway.wire.repeats import Repeats
from kilocode_gateway.wire.reply import (
    Completion,
    Delta,
    StreamReader,
    ToolCall,
    ToolCallDelta,
    Usage,
    read_completions,
)
from kilocode_gateway.wire.request import shape
from kilocode_gateway.wire.settings import (
    NAMES,
    OPTIONS,
    PARAMETERS,
    check_names,
    merge,
    nearest_name,
    put_together,
    unknown_setting,
    with_consequences,
)

__all__ = [
    "NAMES",
    "OPTIONS",
    "PARAMETERS",
    "Completion",
    "Delta",
    "Repeats",
    "StreamReader",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "check_names",
    "check_values",
    "merge",
    "misfits",
    "nearest_name",
    "put_together",
    "read_completions",
    "shape",
    "unknown_setting",
    "with_consequences",
]
