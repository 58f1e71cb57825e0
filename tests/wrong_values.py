"""Values of settings that both chat classes refuse, wherever they are given, with what each error says."""

from __future__ import annotations

from typing import Any

WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"temperature": "hot"}, "temperature must be a number from 0 to 2, got 'hot'"),
    ({"temperature": 3}, "temperature must be a number from 0 to 2, got 3"),
    ({"max_tokens": 0}, "max_tokens must be a whole number from 1, got 0"),
    ({"max_completion_tokens": -3}, "max_(completion_)?tokens must be a whole number from 1, got -3"),
    ({"top_p": "x"}, "top_p must be a number, got 'x'"),
    ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
    ({"n": 0}, "n must be a whole number from 1, got 0"),
    ({"stop": 3}, "stop must be a string or a list of strings, got 3"),
    ({"stop": [1]}, "stop must be a string or a list of strings, got list"),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls must be True or False, got 'yes'"),
    ({"plugins": "web"}, "plugins must be a list, got str"),
    ({"provider": ["secret"]}, "provider must be a dict, got list"),
    ({"reasoning": "high"}, "reasoning must be a dict, got str.*reasoning_effort="),
    ({"reasoning_effort": 3}, "reasoning_effort must be a string, got 3"),
]
