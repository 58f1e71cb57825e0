"""`python -m tests.soak`: requests without end through both frameworks, all accounted for; the last line sums up."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from importlib import import_module


def main() -> None:
    """Ask them all, and leave with 1 if anything is off."""
    parser = argparse.ArgumentParser(description="Ask very often, and account for every answer.")
    parser.add_argument("--requests", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--seed", type=int, default=7, help="of what happens to which request")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop's event loops")
    given = parser.parse_args()
    for name in list(os.environ):
        if name.upper().startswith(("KILO", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "LLAMA_")):
            del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KILOCODE_CACHE_DIR"] = folder
        from tests.soak.soak import Plan, Soak

        new_loop = import_module("uvloop").new_event_loop if given.uvloop else asyncio.new_event_loop
        soak = Soak(Plan(given.requests, seed=given.seed, new_loop=new_loop), lambda line: print(line, flush=True))
        soak.run()
    for name, count in sorted((soak.ledger.by_asker + soak.ledger.errors).items()):
        print(f"{count:8,}  {name}")
    for line in (verdict := soak.verdict):
        print(f"WRONG: {line}")
    print(soak)
    sys.exit(bool(verdict))


if __name__ == "__main__":
    main()
