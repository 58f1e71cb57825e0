"""Asks a model that fills gaps in code in each of LangChain's ways."""

from __future__ import annotations

from typing import Any

BEFORE, AFTER = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
"""What stands around a gap; the local gateway fills in `a + b`."""
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25}
INFO = {
    "model_provider": "kilocode",
    "model_name": "codestral-2508",
    "requested_model": "mistralai/codestral-2508",
    "finish_reason": "length",
    "token_usage": USAGE,
    "cost": 0.25,
}
"""What is known of an answer with this usage that was cut at its limit."""


def told(info: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is another in each answer."""
    return {name: value for name, value in info.items() if name not in ("id", "created")}


async def invoke(fim: Any, prompt: Any, **settings: Any) -> str:
    return fim.invoke(prompt, **settings)


async def ainvoke(fim: Any, prompt: Any, **settings: Any) -> str:
    return await fim.ainvoke(prompt, **settings)


async def stream(fim: Any, prompt: Any, **settings: Any) -> str:
    return "".join(fim.stream(prompt, **settings))


async def astream(fim: Any, prompt: Any, **settings: Any) -> str:
    return "".join([piece async for piece in fim.astream(prompt, **settings)])


async def batch(fim: Any, prompt: Any, **settings: Any) -> str:
    return fim.batch([prompt], settings.pop("config", None), **settings)[0]


async def abatch(fim: Any, prompt: Any, **settings: Any) -> str:
    return (await fim.abatch([prompt], settings.pop("config", None), **settings))[0]


WHOLE = [invoke, ainvoke, batch, abatch]
STREAMED = [stream, astream]
