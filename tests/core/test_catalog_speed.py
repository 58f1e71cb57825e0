"""What the catalog costs beside a bare GET and `json.loads` of the same bytes, measured in turns in one run."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import TYPE_CHECKING

import httpx
import pytest

from kilocode_gateway.catalog import Catalog
from kilocode_gateway.listing import read_listing
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import discover

if TYPE_CHECKING:
    from collections.abc import Callable

TURNS, ROUNDS = 12, 10


def body_of(number: int) -> bytes:
    """Write a list of entries like the gateway's: about 80 values and 900 bytes each."""
    parameters = (
        "frequency_penalty logprobs max_tokens min_p presence_penalty repetition_penalty response_format seed stop"
    )
    efforts = ("low", "medium", "high")
    entries = [
        {
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
            "per_request_limits": None,
            "supported_parameters": ["tools", "tool_choice", "reasoning", *parameters.split()],
            "expiration_date": None,
            "isFree": False,
            "mayTrainOnYourPrompts": False,
            "opencode": {"variants": {name: {"reasoning": {"enabled": True, "effort": name}} for name in efforts}},
        }
        for place in range(number)
    ]
    return json.dumps({"data": entries}, separators=(",", ":")).encode()


def ratio(work: Callable[[], object], beside: Callable[[], object]) -> float:
    """Give how many times as long as the other the work takes: the best of each, in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for kept, do in zip(times, (work, beside), strict=True):
            begun = time.perf_counter()
            do()
            kept.append(time.perf_counter() - begun)
    return min(times[0]) / min(times[1])


def assert_within(limit: float, work: Callable[[], object], beside: Callable[[], object]) -> None:
    # A busy machine can spoil a round; it cannot make all of them better than they are.
    seen = []
    for _ in range(ROUNDS):
        seen.append(ratio(work, beside))
        if seen[-1] <= limit:
            return
    pytest.fail(f"expected at most {limit} times as long, got {seen}")


@pytest.mark.parametrize("number", [350, 5000])
def test_discovering_costs_at_most_half_as_much_again_as_a_bare_get(gateway: LocalGateway, number: int) -> None:
    body = body_of(number)
    gateway.script(*[Reply.raw(200, body)] * (2 * TURNS * ROUNDS + 2), path="models")
    with httpx.Client() as client:
        assert_within(
            1.5,
            lambda: discover(gateway, refresh=True, http_client=client),
            lambda: json.loads(client.get(f"{gateway.base_url}models").content),
        )
    assert len(discover(gateway)) >= number


@pytest.mark.parametrize("number", [350, 5000])
def test_a_start_from_the_cache_costs_a_third_of_reading_the_json(
    gateway: LocalGateway, new_process: Callable[[], None], number: int
) -> None:
    body = body_of(number)
    gateway.script(Reply.raw(200, body), path="models")
    discover(gateway)

    def start() -> Catalog:
        new_process()
        return discover(gateway)

    assert start().source == "cache"
    assert_within(0.35, start, lambda: json.loads(body))


def test_a_look_up_costs_no_search() -> None:
    found = Catalog(read_listing(body_of(5000)).lines, source="gateway")
    ids = list(found)[:5000:10]
    for id_ in ids:
        assert found[id_].id == id_
    begun = time.perf_counter()
    for id_ in ids:
        assert id_ in found
        assert found.get(id_) is not None
    assert (time.perf_counter() - begun) / len(ids) < 0.000_1


def test_near_names_among_5000_come_before_a_loop_is_late() -> None:
    found = Catalog(read_listing(body_of(5000)).lines, source="gateway")
    begun = time.perf_counter()
    assert found.nearest("vendor-7/modle-7")
    assert time.perf_counter() - begun < 0.5


def test_entries_lie_in_memory_as_text_until_asked_for() -> None:
    body = body_of(2000)
    tracemalloc.start()
    try:
        found = Catalog(read_listing(body).lines, source="gateway")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) > 2000
    assert kept < 1.5 * len(body)
    assert peak < 3 * len(body)
