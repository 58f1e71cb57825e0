"""Probes of failure: what kind of error is raised, what does it say, when is it tried again, what ends a request."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

import openai

from benchmarks.li.bench import ALL, CHAT, STREAM_CHAT, STREAMS, probe, text_of
from benchmarks.probing import MODEL, YES, FailedError, kept, raised
from benchmarks.replies import chunk, say, upstream
from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from benchmarks.li.bench import Bench

KINDS = "Errors that are `openai`'s, with their reason"
ERRORS = "Other errors"
TIME = "Retries and time"
SILENT = "an answer, no error"
CUT = "partial text, no error"
REASON = "The provider ran out of capacity"
LONG, SOON, LIMIT = 4.0, 3.0, 0.5
"""Seconds for which the gateway is silent, and in which a client must have given up, and its limit."""
HALF = chunk({"content": "Half an"})
AGAIN = {"retry-after": "0"}


def _judge_status(bench: Bench, status: int, kind: type[Exception] = openai.APIStatusError) -> str:
    bench.script(upstream(status, REASON))
    return raised(bench.error(), kind=kind, text=REASON, silent=SILENT)


@probe(KINDS, ways=CHAT)
def status_401(bench: Bench) -> str:
    """401 is an `AuthenticationError`."""
    return _judge_status(bench, 401, openai.AuthenticationError)


@probe(KINDS, ways=CHAT)
def status_402(bench: Bench) -> str:
    """402, no credit, is an `APIStatusError`."""
    return _judge_status(bench, 402)


@probe(KINDS, ways=CHAT)
def status_408(bench: Bench) -> str:
    """408 is an `APIStatusError`."""
    return _judge_status(bench, 408)


@probe(KINDS, ways=CHAT)
def status_429(bench: Bench) -> str:
    """429 is a `RateLimitError`."""
    return _judge_status(bench, 429, openai.RateLimitError)


@probe(KINDS, ways=CHAT)
def html_502(bench: Bench) -> str:
    """502 with an HTML page is an `InternalServerError`."""
    bench.script(Reply.error("html_502"))
    return raised(bench.error(), kind=openai.InternalServerError, silent=SILENT)


@probe(KINDS, ways=CHAT)
def html_200(bench: Bench) -> str:
    """A login page instead of an answer is an `APIError`."""
    bench.script(Reply.error("html_200"))
    return raised(bench.error(), kind=openai.APIError, silent=SILENT)


@probe(KINDS, ways=ALL)
def error_in_200(bench: Bench) -> str:
    """An error inside a 200 is an `APIError`."""
    body = {"error": {"message": REASON, "code": 429}}
    bench.script(Reply.chunks([body]) if bench.streams else Reply.raw(200, body))
    return raised(bench.error(), kind=openai.APIError, text=REASON, silent=SILENT)


@probe(KINDS, ways=STREAMS)
def error_in_stream(bench: Bench) -> str:
    """An error in the middle of a stream, without choices, is an `APIError` that knows its status."""
    bench.script(Reply.chunks([HALF, {"error": {"message": REASON, "code": 502}}], done=False))
    error = bench.error()
    found = raised(error, kind=openai.APIError, text=REASON, silent=CUT)
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return found if found != YES or str(status) == "502" else "no: without the status"


@probe(KINDS, ways=STREAMS)
def error_in_stream_with_choices(bench: Bench) -> str:
    """An error in the middle of a stream, with choices, is an `APIError`."""
    last = chunk({}, "error", error={"message": REASON, "code": 502})
    bench.script(Reply.chunks([HALF, last]))
    return raised(bench.error(), kind=openai.APIError, text=REASON, silent=CUT)


@probe(KINDS, ways=STREAMS)
def connection_lost(bench: Bench) -> str:
    """A stream whose connection breaks is an `APIError`."""
    bench.script(Reply.chunks([HALF, chunk({"content": " answer"})], cut_after=400))
    return raised(bench.error(), kind=openai.APIError, silent=CUT)


@probe(KINDS, ways=STREAMS)
def early_end(bench: Bench) -> str:
    """A stream that ends without a finish reason is an error, and no answer."""
    bench.script(Reply.chunks([HALF], done=False))
    return raised(bench.error(), silent=CUT)


@probe(ERRORS, ways=STREAMS)
def text_so_far(bench: Bench) -> str:
    """The error of a stream that broke off has the text so far."""
    bench.script(Reply.chunks([HALF], done=False))
    error = bench.error()
    if error is None:
        return f"no: {CUT}"
    return kept(
        "Half an" in f"{error} {vars(error)} {getattr(error, 'text', '')}", f"no: {type(error).__name__} without it"
    )


@probe(ERRORS, ways=CHAT)
def text_of_the_gateway(bench: Bench) -> str:
    """The reason of the gateway's own errors, whose `error` is a plain text, reaches the user."""
    bench.script(Reply.error("model_not_found"))
    return raised(bench.error(), text="The requested model could not be found.", silent=SILENT)


@probe(ERRORS, ways=CHAT)
def what_to_do_402(bench: Bench) -> str:
    """No credit: the error says where to add some."""
    bench.script(upstream(402, REASON))
    return _says(bench.error(), "app.kilo.ai")


@probe(ERRORS, ways=CHAT)
def what_to_do_404(bench: Bench) -> str:
    """A misspelt model: the error names the ones that were meant."""
    bench.script(Reply.error("model_not_found"))
    return _says(bench.error(bench.model("anthropic/claude-sonet-4.6")), MODEL)


def _says(error: Exception | None, text: str) -> str:
    return kept(text in str(error), f"no: {type(error).__name__} without it" if error else f"no: {SILENT}")


@probe(ERRORS, ways=CHAT)
def what_to_do_with_text(bench: Bench) -> str:
    """A text instead of a list of messages: the error says what to write."""
    model = bench.model()
    try:
        bench.do(model, bench.way, "Hello")
    except FailedError as failed:
        return _says(failed.error, "ChatMessage(")
    return f"no: {SILENT}"


@probe(ERRORS, ways=CHAT)
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


def _judge_retry(bench: Bench, status: int) -> str:
    bench.script(Reply.raw(status, {"error": {"message": REASON, "code": status}}, AGAIN), say())
    answer = bench.ask(bench.model(max_retries=2))
    return kept(text_of(answer) and bench.asked > 1, "no: not tried again")


@probe(TIME, ways=CHAT)
def retry_429(bench: Bench) -> str:
    """429 is tried again."""
    return _judge_retry(bench, 429)


@probe(TIME, ways=CHAT)
def retry_503(bench: Bench) -> str:
    """503 is tried again."""
    return _judge_retry(bench, 503)


@probe(TIME, ways=CHAT)
def retry_after(bench: Bench) -> str:
    """`Retry-After` is waited for."""
    bench.script(Reply.raw(429, {"error": {"message": REASON, "code": 429}}, {"retry-after": "1"}), say())
    begun = time.monotonic()
    answer = bench.ask(bench.model(max_retries=2))
    waited = time.monotonic() - begun
    return kept(text_of(answer) and 0.95 < waited < SOON, f"no: waited {waited:.1f} s")  # noqa: PLR2004 - the second


@probe(TIME, ways=CHAT)
def one_layer(bench: Bench) -> str:
    """`max_retries=2` means three requests at most."""
    bench.script(*[Reply.raw(503, {"error": {"message": REASON, "code": 503}}, AGAIN)] * 30)
    error = bench.error(bench.model(max_retries=2))
    return kept(error is not None and bench.asked == 3, f"no: {bench.asked} requests")  # noqa: PLR2004 - one and two more


@probe(TIME, ways=CHAT)
def no_retry(bench: Bench) -> str:
    """`max_retries=0` means one request."""
    bench.script(*[upstream(503, REASON)] * 20)
    error = bench.error()
    return kept(error is not None and bench.asked == 1, f"no: {bench.asked} requests")


@probe(TIME, ways=CHAT)
def timeout(bench: Bench) -> str:
    """`timeout` ends a silence."""
    bench.script(say(delay=LONG))
    return _judge_soon(bench, bench.model(timeout=LIMIT))


def _judge_soon(bench: Bench, model: Any) -> str:
    begun = time.monotonic()
    error = bench.error(model)
    return kept(error is not None and time.monotonic() - begun < SOON, "no: waited on")


@probe(TIME, ways=CHAT)
def timeout_of_a_call(bench: Bench) -> str:
    """A call's `timeout` wins over the model's."""
    bench.script(say(delay=LONG))
    model = bench.model(timeout=30)
    begun = time.monotonic()
    error = bench.error(model, timeout=LIMIT)
    return kept(error is not None and time.monotonic() - begun < SOON, "no: waited on")


@probe(TIME, ways=STREAM_CHAT)
def first_token(bench: Bench) -> str:
    """A time limit that holds while only keep-alive comments come."""
    bench.script(say(stall_after=0, stall=LONG, keep_alive=0.2))
    return _judge_soon(bench, bench.model(**bench.subject.spelt("first_token_timeout", LIMIT)))


@probe(TIME, ways=STREAM_CHAT)
def total(bench: Bench) -> str:
    """A time limit for the whole answer, however steadily it comes."""
    words = [chunk({"content": "word "}) for _ in range(20)]
    bench.script(Reply.chunks([*words, chunk({}, "stop")], chunk_delay=0.2))
    return _judge_soon(bench, bench.model(**bench.subject.spelt("total_timeout", LIMIT)))


@probe(TIME, ways=ALL)
def another_model(bench: Bench) -> str:
    """Another model answers when the first one cannot."""
    bench.script(Reply.error("model_not_found"), say())
    answer = bench.ask(bench.model(**bench.subject.spelt("fallback_models", [f"{MODEL}-second"])))
    return kept(text_of(answer) and bench.sent["model"] == f"{MODEL}-second", "no: not asked")
