"""Write the model names that editors offer: `make known-models`, when the gateway's models have changed.

The gateway is asked that the environment names, without a key. Where it cannot be asked, nothing is written.

Chat models: `kilo/auto` and its family, then of `DOCUMENTED` those that the gateway still lists. A new id goes into
`DOCUMENTED` by hand: a list of hundreds would hide the few that people look for. Embedding models: all that the gateway
lists. Models that fill gaps: `FIM`, for the gateway lists them nowhere.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from kilocode_gateway.bundled import ENTRIES
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.discovery import anonymous
from kilocode_gateway.embedding_models import EmbeddingModels

MODULE = Path(__file__).parents[1] / "kilocode_gateway" / "known_models.py"

FAMILY = tuple(entry["id"] for entry in ENTRIES)
DOCUMENTED = (
    "anthropic/claude-haiku-4.5",
    "anthropic/claude-opus-4.7",
    "anthropic/claude-sonnet-4",
    "anthropic/claude-sonnet-4.6",
    "deepseek/deepseek-v3.2",
    "google/gemini-2.5-flash",
    "google/gemini-3-pro-preview",
    "google/gemini-3.1-pro-preview",
    "minimax/minimax-m2.7",
    "moonshotai/kimi-k2.5",
    "nvidia/nemotron-3-ultra-550b-a55b:free",
    "openai/gpt-5.4",
    "openai/gpt-5.4-mini",
    "openrouter/free",
    "poolside/laguna-s-2.1:free",
    "poolside/laguna-xs-2.1:free",
    "stepfun/step-3.7-flash:free",
    "x-ai/grok-4",
    "x-ai/grok-code-fast-1",
)
"""What the gateway's and OpenClaw's documentation name (autumn 2026)."""
FIM = ("inception/mercury-edit-2", "mistralai/codestral-2508")
"""What the newest gateway takes (server source, autumn 2026)."""

TEXT = '''\
"""The model names that editors offer. Written by `make known-models`; `.ci/known_models.py` says which go in.

Wherever one of them is offered any other string is allowed, and nothing is checked against them when a program runs.
"""

from __future__ import annotations

from typing import Literal

KnownModel = Literal[
{chat}
]
"""Chat models: `kilo/auto` and its family, and those that the gateway's documentation names."""

KnownEmbeddingModel = Literal[
{embedding}
]
"""Embedding models: those that the gateway lists."""

KnownFIMModel = Literal[
{fim}
]
"""Models that fill gaps in code."""
'''


def render(chat: set[str], embedding: set[str]) -> str:
    """Give the module's text for the ids that a gateway lists."""
    names = {"chat": {*FAMILY, *chat.intersection(DOCUMENTED)}, "embedding": embedding, "fim": set(FIM)}
    return TEXT.format(**{kind: _lines(ids) for kind, ids in names.items()})


def _lines(ids: set[str]) -> str:
    return "\n".join(f"    {json.dumps(id_)}," for id_ in sorted(ids))


def ids_in(text: str) -> set[str]:
    """Give the ids that a text of the module holds."""
    lists = [node.elts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Tuple)]
    return {str(ast.literal_eval(one)) for elements in lists for one in elements}


def main(module: Path = MODULE) -> int:
    """Ask the gateway and write the module; tell how many ids changed."""
    config = anonymous(GatewayConfig.resolve())
    chat, embedding = Catalog.discover(config=config, refresh=True), EmbeddingModels.discover(config=config)
    for found in (chat, embedding):
        if found.source != "gateway":
            sys.stderr.write(f"{config.base_url} could not be asked, so nothing was written: {found!r}.\n")
            return 1
    before = ids_in(module.read_text(encoding="utf-8"))
    text = render({id_ for id_ in chat if chat.is_discovered(id_)}, set(embedding))
    module.write_text(text, encoding="utf-8")
    new, gone = ids_in(text) - before, before - ids_in(text)
    sys.stdout.write(f"{len(ids_in(text))} ids, of which {len(new)} are new; {len(gone)} are gone\n")
    sys.stdout.writelines(f"{sign} {id_}\n" for sign, ids in (("+", new), ("-", gone)) for id_ in sorted(ids))
    return 0


if __name__ == "__main__":
    sys.exit(main())
