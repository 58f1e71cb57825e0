"""Measure what the catalog costs beside a bare GET and `json.loads` of the same bytes, in turns, in one run.

Prints a Markdown table of ratios of CPU time, medians of the turns. Only the ratios mean anything.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

import httpx

from kilocode_gateway import catalog
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.listing import read_listing
from kilocode_gateway.local import LocalGateway, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS = 21


def entry(place: int) -> dict[str, Any]:
    """Write an entry like the gateway's: about 80 values and 900 bytes."""
    parameters = (
        "frequency_penalty logprobs max_tokens min_p presence_penalty repetition_penalty response_format seed stop"
    )
    return {
        "id": f"vendor-{place % 40}/model-{place}",
        "name": f"Vendor {place % 40}: Model {place}",
        "created": 1_760_000_000 + place,
        "description": f"The model {place} of vendor {place % 40}.",
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image", "pdf"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
        },
        "top_provider": {"is_moderated": False, "context_length": 200_000, "max_completion_tokens": None},
        "pricing": {
            "prompt": f"0.00000{place}",
            "completion": f"0.0000{place}",
            "input_cache_read": "0.00000075",
            "web_search": "0.005",
        },
        "context_length": 200_000,
        "supported_parameters": ["tools", "tool_choice", "reasoning", *parameters.split()],
        "isFree": False,
        "opencode": {
            "variants": {name: {"reasoning": {"enabled": True, "effort": name}} for name in ("low", "medium", "high")}
        },
    }


def ratio(work: Callable[[], object], beside: Callable[[], object]) -> float:
    """Give how many times the CPU time of the other the work takes, done in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for kept, do in zip(times, (work, beside), strict=True):
            begun = time.process_time()
            do()
            kept.append(time.process_time() - begun)
    return statistics.median(times[0]) / statistics.median(times[1])


def measure(number: int) -> list[tuple[str, float]]:
    """Measure everything with a list of so many entries."""
    body = json.dumps({"data": [entry(place) for place in range(number)]}, separators=(",", ":")).encode()
    with LocalGateway() as gateway, httpx.Client() as client:
        gateway.script(*[Reply.raw(200, body)] * (2 * TURNS + 1), path="models")
        address = f"{gateway.base_url}models"

        def discover() -> Catalog:
            return Catalog.discover(base_url=gateway.base_url, refresh=True, http_client=client)

        def start() -> Catalog:
            # What a new process knows: nothing but the file.
            catalog._memory._slots.clear()  # noqa: SLF001 - there is no public way to be a new process
            return Catalog.discover(base_url=gateway.base_url)

        found = [("discover / (GET + json.loads)", ratio(discover, lambda: json.loads(client.get(address).content)))]
        found.append(("check and index / json.loads", ratio(lambda: read_listing(body), lambda: json.loads(body))))
        if start().source != "cache":
            raise SystemExit("expected the list to be in the cache file")
        found.append(("start from the cache / json.loads", ratio(start, lambda: json.loads(body))))
    return found


def main() -> None:
    """Print the table."""
    os.environ["KILOCODE_CACHE_DIR"] = tempfile.mkdtemp()
    sizes = (500, 5_000)
    columns = [dict(measure(number)) for number in sizes]
    print("| CPU, ratio | " + " | ".join(f"{number:,} models" for number in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{column[name]:.2f}" for column in columns) + " |")


if __name__ == "__main__":
    main()
