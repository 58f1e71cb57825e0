"""The table of LlamaIndex's classes."""

from __future__ import annotations

from benchmarks.li.bench import ROWS, Bench
from benchmarks.li.subjects import SUBJECTS
from benchmarks.probing import Table

TABLE = Table(
    name="li",
    probes=ROWS.of(
        "benchmarks.li",
        "probes_entry",
        "probes_settings",
        "probes_thinking",
        "probes_tools",
        "probes_structured",
        "probes_blocks",
        "probes_metadata",
        "probes_engines",
        "probes_usage",
        "probes_errors",
        "probes_lifecycle",
        "probes_events",
        "probes_gateway",
    ),
    subjects=SUBJECTS,
    bench=Bench,
    packages=(
        "llama-index-core",
        "llama-index-llms-openai-like",
        "llama-index-llms-openai",
        "openai",
        "llama-index-llms-openrouter",
    ),
    emptied=("LLAMA_INDEX_CACHE_DIR",),
    # The framework brings the files of its token counter and finds them unless told of another folder.
    removed=("LLAMA_", "TIKTOKEN_"),
)
