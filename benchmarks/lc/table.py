"""The table of LangChain's classes."""

from __future__ import annotations

from benchmarks.lc.bench import ROWS, Bench
from benchmarks.lc.subjects import SUBJECTS
from benchmarks.probing import Table

TABLE = Table(
    name="lc",
    probes=ROWS.of(
        "benchmarks.lc",
        "probes_content",
        "probes_reasoning",
        "probes_tools",
        "probes_usage",
        "probes_errors",
        "probes_settings",
    ),
    subjects=SUBJECTS,
    bench=Bench,
    packages=("langchain-core", "langchain-openai", "openai", "langchain-openrouter", "openrouter", "langchain"),
    # The token counting of OpenAI keeps files.
    emptied=("TIKTOKEN_CACHE_DIR",),
    removed=("LANGSMITH_", "LANGCHAIN_", "LC_"),
)
