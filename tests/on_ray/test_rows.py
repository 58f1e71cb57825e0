"""Many rows on Ray: each is accounted for, whatever happens to requests, to a worker, to the job."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pytest
import ray
from pyarrow import parquet

from tests.on_ray.gateway import FATES, GatewayProcess, answer_of, cost_of, fate_of
from tests.on_ray.jobs import AT_ONCE, BATCH, WORKERS, answers, chain, llm, resumable, tables, write_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pyarrow as pa

    from kilocode_gateway.local import LocalGateway

BATCHES_AT_ONCE = 4
"""How many batches Ray Data hands to an async class at the same time."""


def check(table: pa.Table, numbers: Iterable[int]) -> None:
    """Hold that each of these rows is there once, with its own answer and its bill, or with an error of its kind."""
    assert sorted(table["id"].to_pylist()) == sorted(numbers)
    for row in table.to_pylist():
        fate = fate_of(row["id"])
        if row["error"] is None:
            assert (row["answer"], row["cost"]) == (answer_of(row["id"]), cost_of(row["id"]))
            assert (row["input_tokens"], row["output_tokens"]) == (10, 5)
        else:
            assert fate is not None
            assert row["error"] in fate.ends
            assert row["error_text"]
            assert row["retryable"] == (fate is not FATES["refused"])
            assert (row["answer"], row["cost"]) == (None, 0)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("ask", "part"), [(chain, 1), (llm, 10)], ids=["LangChain", "LlamaIndex"])
def test_every_row_is_accounted_for_though_a_worker_is_killed(
    rows: int, ask: Callable[[str], Any], part: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = max(rows // part, 200)
    with GatewayProcess() as gateway:
        gateway.tell(f"kill {count // 3}")
        start = time.monotonic()
        first = answers(ray.data.from_arrow(tables(count)), ask(gateway.base_url))
        seconds = time.monotonic() - start
        book = gateway.tell("report")
        check(first, range(count))

        assert len(book["killed"]) == 1
        assert WORKERS <= len(book["workers"]) <= WORKERS + 1  # few rows may be done before the last has started
        assert 1 < max(book["most"].values()) <= AT_ONCE
        assert book["connections"] <= AT_ONCE * len(book["workers"]) + book["breaks"] < book["asked"].total()

        billed = sum(cost_of(number) * times for number, times in book["answered"].items())
        twice = sum(cost_of(number) * (times - 1) for number, times in book["answered"].items())
        assert pc.sum(first["cost"]).as_py() == billed - twice

        failed = first.filter(first["retryable"])
        again = answers(ray.data.from_arrow(failed), ask(gateway.base_url))
        check(again, failed["id"].to_pylist())
        assert again["error"].null_count == again.num_rows
        assert set(gateway.tell("report")["asked"] - book["asked"]) == set(failed["id"].to_pylist())
    with capsys.disabled():
        sys.stdout.write(
            f"\n{count:,} rows in {seconds:.0f} s: {first['error'].null_count:,} answered, "
            f"{failed.num_rows} asked again; billed {billed} USD, of it {twice} twice; "
            f"{book['asked'].total():,} requests on {book['connections']} "
            f"connections ({book['breaks']} broken), by worker {book['workers']}, at most {book['most']} at once\n"
        )


def test_what_concerns_every_row_stops_the_job(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway(api_keys=["another-key"])
    with pytest.raises(ray.exceptions.UserCodeException) as caught:
        answers(ray.data.from_arrow(tables(1000)), chain(gateway.base_url, key=None))
    assert "AuthenticationError: The gateway asks for a valid sign-in" in str(caught.value)
    assert "copy it again from your profile" in str(caught.value)
    assert 0 < len(gateway.chat_requests) <= WORKERS * BATCHES_AT_ONCE * BATCH


def committed(folder: Path) -> list[Path]:
    """List the files of a checkpoint that count; a pending one was written before its answers were."""
    return [path for path in folder.glob("*.parquet") if ".pending." not in path.name]


@pytest.mark.timeout(300)
def test_a_job_that_was_killed_goes_on_and_asks_only_the_rest(tmp_path: Path) -> None:
    write_questions(500, tmp_path)
    with GatewayProcess(faulty=False) as gateway:
        gateway.tell("hold 300")
        address = ray.get_runtime_context().gcs_address
        command = [sys.executable, "-m", "tests.on_ray.jobs", address, gateway.base_url, str(tmp_path)]
        with subprocess.Popen(command) as job:
            try:
                while not (done := committed(tmp_path / "done")):
                    assert job.poll() is None, "the job ended before anything was written"
                    time.sleep(0.05)
            finally:
                job.kill()
                gateway.tell("go")
        written = [number for path in done for number in parquet.read_table(path)["id"].to_pylist()]
        assert 0 < len(written) < 500

        resumable(gateway.base_url, tmp_path)
        check(parquet.read_table(tmp_path / "answers"), range(500))
        asked = gateway.tell("report")["asked"]
        assert {asked[number] for number in written} == {1}
