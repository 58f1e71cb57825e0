"""The jobs that the tests run, one of them also as a program: `python -m tests.on_ray.jobs CLUSTER GATEWAY FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray.data
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pyarrow import parquet
from ray.data.checkpoint import CheckpointConfig

from langchain_kilocode import ChatKiloCode
from llama_index_kilocode import KiloCode

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 16
WORKERS = 2
BATCH = 16
BLOCK = 50
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "06_a_million_rows.ipynb"


def from_the_notebook() -> Any:
    """Run the notebook's cell with the class that asks, and give the class."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = next(text for cell in cells if "class Asker" in (text := "".join(cell["source"])))
    defined: dict[str, Any] = {"__name__": "the_notebook"}
    exec(compile(code, NOTEBOOK.name, "exec"), defined)
    return defined["Asker"]


def worker_key() -> str:
    """Give a key that tells the gateway which process asks."""
    return f"worker-{os.getpid()}"


def chain(base_url: str, key: Callable[[], str] | None = worker_key) -> Any:
    """Ask with LangChain."""
    model = ChatKiloCode(base_url=base_url, api_key=key, streaming=True)
    return (ChatPromptTemplate.from_messages([("human", "{question}")]) | model | StrOutputParser()).ainvoke


def llm(base_url: str) -> Any:
    """Ask with LlamaIndex."""
    return KiloCode(api_base=base_url, api_key=worker_key).acomplete


def tables(count: int) -> list[pa.Table]:
    """Give so many questions, in blocks."""
    whole = pa.table({"id": range(count), "question": [f"Row {number}." for number in range(count)]})
    return [whole.slice(start, BLOCK) for start in range(0, count, BLOCK)]


def asked(data: ray.data.Dataset, ask: Any) -> ray.data.Dataset:
    """Plan a job: these rows, asked by two workers."""
    return data.map_batches(
        from_the_notebook(),
        fn_constructor_kwargs={"ask": ask, "at_once": AT_ONCE},
        compute=ray.data.ActorPoolStrategy(size=WORKERS),
        batch_size=BATCH,
        batch_format="pyarrow",
    )


def answers(data: ray.data.Dataset, ask: Any) -> pa.Table:
    """Run a job, and give its rows."""
    return pa.concat_tables(ray.get(asked(data, ask).to_arrow_refs()))


def resumable(base_url: str, folder: Path) -> None:
    """Ask what stands in a folder, and write the answers there; what was written before is not asked again."""
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=str(folder / "done"), delete_checkpoint_on_success=False
    )
    try:
        questions = ray.data.read_parquet(str(folder / "questions")).repartition(target_num_rows_per_block=BLOCK)
        asked(questions, chain(base_url)).write_parquet(str(folder / "answers"))
    finally:
        context.checkpoint_config = None


def write_questions(count: int, folder: Path) -> None:
    """Write so many questions into a folder."""
    (folder / "questions").mkdir()
    parquet.write_table(pa.concat_tables(tables(count)), folder / "questions" / "all.parquet")


if __name__ == "__main__":
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    resumable(sys.argv[2], Path(sys.argv[3]))
