"""Probes of failure: what kind of error is raised, when is it tried again, what ends a request."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import ContextOverflowError, ModelError

from benchmarks.lc.bench import STREAM, probe
from benchmarks.probing import MODEL, YES, FailedError, kept, raised
from benchmarks.replies import chunk, say, upstream
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.lc.bench import Bench

KINDS = "Errors that are a langchain-core `ModelError` with its reason"
ERRORS = "Other errors"
TIME = "Retries and time"
SILENT = "an answer, no error"
CUT = "partial text, no error"
REASON = "The provider ran out of capacity"
REFUSALS = [upstream(400, REASON)] * 100
LONG, SOON = 8.0, 6.0
"""Seconds for which the gateway is silent, and in which a client with a limit of one second must have given up."""
HALF = chunk({"content": "Half an"})


def _judge_status(bench: Bench, status: int) -> str:
    bench.script(upstream(status, REASON))
    return raised(bench.error(), kind=ModelError, text=REASON, silent=SILENT)


@probe(KINDS)
def status_401(bench: Bench) -> str:
    """401."""
    return _judge_status(bench, 401)


@probe(KINDS)
def status_402(bench: Bench) -> str:
    """402, no credit."""
    return _judge_status(bench, 402)


@probe(KINDS)
def status_408(bench: Bench) -> str:
    """408."""
    return _judge_status(bench, 408)


@probe(KINDS)
def status_413(bench: Bench) -> str:
    """413."""
    return _judge_status(bench, 413)


@probe(KINDS)
def status_422(bench: Bench) -> str:
    """422."""
    return _judge_status(bench, 422)


@probe(KINDS)
def status_429(bench: Bench) -> str:
    """429."""
    return _judge_status(bench, 429)


@probe(KINDS)
def html_502(bench: Bench) -> str:
    """502 with an HTML page."""
    bench.script(*[Reply.error("html_502")] * 20)
    return raised(bench.error(), kind=ModelError, silent=SILENT)


@probe(KINDS)
def html_200(bench: Bench) -> str:
    """A login page instead of an answer."""
    bench.script(Reply.error("html_200"))
    return raised(bench.error(), kind=ModelError, silent=SILENT)


@probe(KINDS)
def error_in_200(bench: Bench) -> str:
    """An error inside a 200."""
    body = {"error": {"message": REASON, "code": 429}}
    if bench.way in STREAM:
        bench.script(Reply.chunks([body]))
    else:
        bench.script(Reply.raw(200, body))
    return raised(bench.error(), kind=ModelError, text=REASON, silent=SILENT)


@probe(KINDS, ways=STREAM)
def error_in_stream(bench: Bench) -> str:
    """An error in the middle of a stream, without choices."""
    bench.script(Reply.chunks([HALF, {"error": {"message": REASON, "code": 502}}], done=False))
    return raised(bench.error(), kind=ModelError, text=REASON, silent=CUT)


@probe(KINDS, ways=STREAM)
def error_in_stream_with_choices(bench: Bench) -> str:
    """An error in the middle of a stream, with choices."""
    last = chunk({}, "error", error={"message": REASON, "code": 502})
    bench.script(Reply.chunks([HALF, last]))
    return raised(bench.error(), kind=ModelError, text=REASON, silent=CUT)


@probe(KINDS, ways=STREAM)
def connection_lost(bench: Bench) -> str:
    """A stream whose connection breaks."""
    bench.script(Reply.chunks([HALF, chunk({"content": " answer"})], cut_after=400))
    return raised(bench.error(), kind=ModelError, silent=CUT)


@probe(ERRORS)
def text_of_the_gateway(bench: Bench) -> str:
    """The reason of the gateway's own errors, whose `error` is a plain text, reaches the user."""
    bench.script(Reply.error("model_not_found"))
    return raised(bench.error(), text="The requested model could not be found.", silent=SILENT)


@probe(ERRORS, ways=STREAM)
def early_end(bench: Bench) -> str:
    """A stream that ends without a finish reason is an error."""
    bench.script(Reply.chunks([HALF], done=False))
    return raised(bench.error(), silent=CUT)


@probe(ERRORS)
def context_overflow(bench: Bench) -> str:
    """The gateway's context overflow is a `ContextOverflowError`."""
    bench.script(Reply.error("context_length_exceeded"))
    return raised(bench.error(), kind=ContextOverflowError, silent=SILENT)


@probe(ERRORS)
def context_overflow_upstream(bench: Bench) -> str:
    """The upstream router's context overflow is a `ContextOverflowError`."""
    bench.script(Reply.error("context_length_upstream"))
    return raised(bench.error(), kind=ContextOverflowError, silent=SILENT)


@probe(ERRORS)
def errors_pickle(bench: Bench) -> str:
    """Errors can be pickled, as process pools and task queues do."""
    bench.script(upstream(400, REASON))
    error = bench.error()
    if error is None:
        return f"no: {SILENT}"
    try:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made the line before
    except Exception as failure:  # noqa: BLE001 - whatever the class under test raises
        return f"no: {type(failure).__name__}"
    return kept(type(again) is type(error))


def _judge_retry(bench: Bench, first: Reply) -> str:
    bench.script(first, say())
    model = bench.model(max_retries=2)
    if bench.error(model) is None:
        return kept(bench.asked > 1, "no: not tried again")
    bench.gateway.clear()
    bench.script(first, say())
    answer = bench.ask(model.with_retry(wait_exponential_jitter=False))
    return "yes, with `with_retry`" if answer.text and bench.asked > 1 else "no: not tried again"


@probe(TIME)
def retry_429(bench: Bench) -> str:
    """429 is tried again."""
    return _judge_retry(bench, upstream(429, REASON))


@probe(TIME)
def retry_503(bench: Bench) -> str:
    """503 is tried again."""
    return _judge_retry(bench, upstream(503, REASON))


@probe(TIME)
def no_retry(bench: Bench) -> str:
    """`max_retries=0` means one request."""
    bench.script(*[upstream(503, REASON)] * 20)
    error = bench.error()
    return kept(error is not None and bench.asked == 1, f"no: {bench.asked} requests")


@probe(TIME)
def timeout_in_seconds(bench: Bench) -> str:
    """`timeout` is in seconds."""
    # A class that tries again meets the error, so that the probe ends.
    bench.script(say(delay=0.3), *REFUSALS)
    if bench.error(bench.model(timeout=1)) is not None:
        return "no: gave up after less than a second"
    bench.gateway.clear()
    bench.script(say(delay=LONG), *REFUSALS)
    begun = time.monotonic()
    late = bench.error(bench.model(timeout=1))
    return kept(late is not None and time.monotonic() - begun < SOON, "no: waited on")


@probe(TIME, ways=STREAM)
def limit_under_comments(bench: Bench) -> str:
    """A time limit that holds while only keep-alive comments come."""
    bench.script(say(stall_after=0, stall=LONG, keep_alive=0.2), *REFUSALS)
    begun = time.monotonic()
    error = bench.error()
    return kept(error is not None and time.monotonic() - begun < SOON, "no: waited on")


@probe(TIME, ways=STREAM)
def leaving_early(bench: Bench) -> str:
    """Leaving a stream early closes its connection."""
    words = [chunk({"content": "word "}) for _ in range(100)]
    bench.script(Reply.chunks([*words, chunk({}, "stop")], chunk_delay=0.1))
    return kept(bench.leave_early(bench.model()), "no: still open")


@probe(TIME)
def another_model(bench: Bench) -> str:
    """Another model answers when the first one cannot."""
    second = f"{MODEL}-second"

    def judge(model: Any) -> bool:
        bench.script(Reply.error("model_not_found"), say())
        return bool(bench.ask(model).text) and bench.sent["model"] == second

    try:
        if judge(bench.model()):
            return YES
    except FailedError:
        bench.gateway.clear()
    alone = bench.model(second)
    return "yes, with `with_fallbacks`" if judge(bench.model().with_fallbacks([alone])) else "no: not asked"
