"""What goes wrong, where, and how it must end: one list for every asker."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kilocode_gateway.local import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.faults.asking import Subject

Ending = Literal["whole", "error", "either"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Args:
        name: What the report calls it.
        replies: What the gateway answers, one request after the other.
        ends: How it must end: with the whole answer, with an error, or with either.
        began: Whether a byte of a successful body arrives, after which nothing may be sent again.
        settings: How the asker is set up, beside what all have.
        waits: The seconds that the asker must be told to wait, where the gateway says so.
        refused: Whether nobody listens at the address.
        text: The answer's whole text, where it is not the asker's usual answer.
        limit: What ends it: "timeout" (of a read) or "total_timeout", whose seconds are the matrix's.

    """

    name: str
    replies: Sequence[Reply]
    ends: Ending = "error"
    began: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    waits: float | None = None
    refused: bool = False
    text: str | None = None
    limit: str | None = None


ENDS_OF_THE_LINE = ("cut_after", "reset_after", "end_after", "half_close_after")


def lines_that_end(subject: Subject, size: int, step: int) -> Iterator[Fault]:
    """End the line after every `step` bytes of the head and of the body."""
    for count in range(0, 120, max(1, step // 4)):
        for drop in (False, "reset"):
            reply = subject.reply(head_bytes=count, drop=drop)
            yield Fault(f"{'reset' if drop else 'closed'} after {count} bytes of the head", [reply] * 2)
    for kind in ENDS_OF_THE_LINE:
        for count in sorted({*range(0, size, step), size - 1, size}):
            reply = subject.reply(close=True, **{kind: count})
            # Whether a stream's end was needed, and whether a reset overtakes the bytes before it, is not ours to say.
            ends: Ending = "error" if kind == "cut_after" and 0 < count < size and not subject.streams else "either"
            yield Fault(f"{kind} {count}", [reply] * 2, ends, began=count > 0 and kind != "reset_after")


HARMLESS: dict[str, dict[str, Any]] = {
    "every byte by itself": {"split": 1},
    "every byte by itself, CRLF": {"split": 1, "newline": "\r\n"},
    "every byte by itself, CR": {"split": 1, "newline": "\r"},
    "seven bytes at a time": {"split": 7},
    "each event by itself": {"split": "event"},
    "CRLF": {"newline": "\r\n"},
    "white space first": {"prefix": b"\n \r\n\t" * 50},
    "a byte order mark first": {"prefix": b"\xef\xbb\xbf"},
    "text/plain": {"content_type": "text/plain"},
    "a content type of nonsense": {"content_type": "x"},
    "text/html for JSON": {"content_type": "text/html; charset=latin-1"},
    "gzip": {"gzip": True},
    "the end told by closing": {"transfer": "close"},
    "chunked": {"transfer": "chunked"},
    "late": {"delay": 0.05},
    "a stall shorter than the limit": {"stall_after": 30, "stall": 0.05},
}
HARMLESS_IN_STREAMS: dict[str, dict[str, Any]] = {
    "comments between events": {"garbage": b": KILO PROCESSING\n\n"},
    "blank lines between events": {"garbage": b"\n\n\n"},
    "other fields between events": {"garbage": b"event: message\nid: 5\nretry: 3\n\n"},
    "garbage lines between events": {"garbage": b"\x00\xff garbage\n\n"},
    "a stall with keep-alive comments": {"stall_after": 19, "stall": 0.3, "keep_alive": 0.02},
}


def harmless(subject: Subject) -> Iterator[Fault]:
    """Give what must change nothing."""
    for name, faults in {**HARMLESS, **(HARMLESS_IN_STREAMS if subject.streams else {})}.items():
        yield Fault(name, [subject.reply(**faults)], "whole", began=True)
    if subject.streams:
        many = subject.reply(prefix=b":\n\n" * 1_000_000)
        yield Fault("a million empty comments", [many], "whole", began=True)
        first, second = json.dumps(_chunks("ab", "stop")[0]).split(", ", 1)
        lines = [f"data: {first},\ndata: {second}\n\n"]
        reply = Reply.chunks(lines, split=1, newline="\r\n")
        yield Fault("data in two lines, every byte by itself", [reply], "whole", began=True, text="ab")
        for split in (1, 7):
            for text in ("a\r\nb", "\u2028 \u0085", "é" * 9):
                chunks = [*_chunks(text), *_chunks("", "stop")]
                reply = Reply.chunks(chunks, split=split, newline="\r\n")
                yield Fault(f"{text!r} split at every {split}", [reply], "whole", began=True, text=text)


def lies(subject: Subject) -> Iterator[Fault]:
    """Give bodies that are not what they say, silences, and redirects."""
    html = "<html><body>Bad gateway</body></html>"
    for status in (200, 403, 404, 502, 503):
        reply = Reply.raw(status, html, {"content-type": "text/html"})
        yield Fault(f"HTML with {status}", [reply] * 2, began=status == 200)
    for name, body in BODIES.items():
        yield Fault(f"200 with {name}", [Reply.raw(200, body)] * 2, began=bool(body))
    yield Fault("a gzip that lies", [subject.reply(gzip="lie")] * 2, began=True)
    cut = gzip.compress(b'{"choices": []}' * 99)[:40]
    yield Fault("a gzip that breaks off", [Reply.raw(200, cut, {"content-encoding": "gzip"})] * 2, began=True)
    yield Fault("a length that is too large", [subject.reply(content_length=1_000_000)] * 2, "either", began=True)
    for place in ("https://elsewhere.example/v1", "http://127.0.0.1:9/", "/other", ""):
        for status in (301, 302, 303, 307, 308):
            yield Fault(f"{status} to {place!r}", [Reply.raw(status, b"", {"location": place})] * 2)
    for stall in (0, 1, 40):
        reply = subject.reply(stall_after=stall, stall=60.0)
        yield Fault(f"silence after {stall} bytes", [reply] * 2, began=stall > 0, limit="timeout")
    yield Fault("silence before the head", [subject.reply(delay=60.0)] * 2, limit="timeout")
    yield Fault("nobody listens", [], refused=True)


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n \r\n",
    "null": b"null",
    "a number": b"5",
    "a text": b'"text"',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "no choices": b'{"choices": []}',
    "choices of null": b'{"choices": null}',
    "a choice of null": b'{"choices": [null]}',
    "broken JSON": b'{"choices": [{"message": {"content": "Hel',
    "JSON and more": b'{"choices": []} trailing',
    "bytes that are no text": bytes(range(128, 256)),
    "an error": b'{"error": {"message": "Broke", "code": 502}}',
    "an error that is a text": b'{"error": "Broke"}',
    "an error of null and nothing else": b'{"error": null}',
    "deep nesting": b"[" * 100_000,
}


def _chunks(text: str, finish: str | None = None, **more: Any) -> list[dict[str, Any]]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return [{"id": "g", "model": "m", "choices": [choice], **more}]


_ERROR = {"error": {"message": "Upstream broke", "code": 502}}


def odd_streams() -> Iterator[Fault]:
    """Give streams that are wrong in what they say, not in how it arrives."""
    a, b, end = _chunks("a"), _chunks("b"), _chunks("", "stop")
    for done in (True, False):
        suffix = "" if done else ", without [DONE]"
        wrong = {
            "no finish reason": [*a, *b],
            "nothing at all": [],
            "an error first": [_ERROR],
            "an error first, with choices": [{**_ERROR, "choices": []}],
            "an error between": [*a, _ERROR, *b, *end],
            "an error between, with choices": [*a, {**_ERROR, **b[0]}, *end],
            "an error after the finish": [*a, *b, *end, _ERROR],
            "an error in a choice": [*a, {"choices": [{"index": 0, **_ERROR}]}],
            "an error as the finish reason": [*a, *b, *_chunks("", "error")],
            "broken JSON in an event": [*a, 'data: {"choices": [{"del\n\n', *end],
            "no JSON in an event": [*a, "data: <html>\n\n", *end],
            "a list in an event": [*a, "data: [1]\n\n", *end],
        }
        for name, parts in wrong.items():
            yield Fault(name + suffix, [Reply.chunks(parts, done=done)] * 2, began=True, text="ab")
        two = Reply.chunks([*a, *b, *end, *_chunks("", "length")], done=done)
        yield Fault(f"two finish reasons{suffix}", [two], "whole", began=True, text="ab")
        alone = Reply.chunks(end, done=done)
        yield Fault(f"a finish reason alone{suffix}", [alone], "whole", began=True, text="")
    large = "x" * 10_000_000
    yield Fault("an event of 10 MB", [Reply.chunks([*_chunks(large), *end])], "whole", began=True, text=large)


STATUSES = (
    400,
    401,
    402,
    403,
    404,
    405,
    408,
    409,
    413,
    415,
    422,
    424,
    429,
    451,
    499,
    500,
    501,
    502,
    503,
    504,
    520,
    529,
)
REFUSALS: dict[str, Any] = {
    "an object": {"error": {"message": "No.", "code": 1}},
    "a text": {"error": "No."},
    "a message": {"message": "No."},
    "a detail": {"detail": [{"loc": ["body"], "msg": "No."}]},
    "a list": [{"error": {"message": "No."}}],
    "an event": 'data: {"error": {"message": "No."}}\n\n',
    "plain text": "No.",
    "null": "null",
    "nothing": "",
    "1 MB": "x" * 1_000_000,
}


HALF = "Half of an answer is here, and then"
_WHOLE = {"stream_without_done"}


def refusals(subject: Subject) -> Iterator[Fault]:
    """Give every status with every form of a body, and the gateway's own errors by name."""
    for status in STATUSES:
        for form, body in REFUSALS.items():
            yield Fault(f"{status} with {form}", [Reply.raw(status, body)] * 2)
    for name in sorted(Reply.ERRORS):
        form = Reply.error_form(name)
        if form.stream is None:
            yield Fault(f"the gateway's {name}", [Reply.error(name)] * 2)
        elif subject.streams:
            ends: Ending = "whole" if name in _WHOLE else "error"
            yield Fault(f"the gateway's {name}", [Reply.error(name)] * 2, ends, began=True, text=HALF)


WAITS: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"retry-after": "7"}, 7.0),
    "milliseconds": ({"retry-after-ms": "1500"}, 1.5),
    "a fraction": ({"retry-after": "0.5"}, 0.5),
    "absurd": ({"retry-after": "99999999999999999999"}, None),
    "an hour": ({"retry-after": "3600"}, None),
    "negative": ({"retry-after": "-5"}, 0.0),
    "nonsense": ({"retry-after": "soon"}, 0.0),
    "a date long ago": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    "a date that is none": ({"retry-after": "Wed, 99 Oct 2015"}, 0.0),
    "infinity": ({"retry-after": "inf"}, 0.0),
}


def waits(subject: Subject) -> Iterator[Fault]:
    """Give what the gateway asks to wait: obeyed up to a minute, else no further request is sent."""
    for name, (headers, seconds) in WAITS.items():
        body = json.dumps({"error": {"message": "Slow down", "code": 429}})
        busy = Reply.raw(429, body, {"content-type": "application/json", **headers})
        ends: Ending = "error" if seconds is None else "whole"
        yield Fault(f"Retry-After: {name}", [busy, subject.reply()], ends, waits=seconds)


def several_ids() -> Iterator[Fault]:
    """Give failures where more than one model id may be asked."""
    down = Reply.raw(503, {"error": {"message": "Down", "code": 503}})
    more = {"fallback_models": ["openai/gpt-5.4", "google/gemini-3.5-flash"]}
    yield Fault("three models, all down", [down] * 9, settings={"more": more})
    yield Fault("three models, all gone", [Reply.error("model_not_found")] * 9, settings={"more": more})
    unknown = [Reply.error("model_not_found")] * 9
    yield Fault("kilo/auto under no name", unknown, settings={"model": "kilo/auto"})
    yield Fault("kilo/auto, down", [down] * 9, settings={"model": "kilo/auto"})


def no_end(subject: Subject) -> Iterator[Fault]:
    """Give answers that never end, under a limit of the whole call."""
    for keep_alive in (None, 0.02):
        reply = subject.reply(stall_after=19, stall=60.0, keep_alive=keep_alive if subject.streams else None)
        yield Fault(f"no end, keep-alive {keep_alive}", [reply] * 2, began=True, limit="total_timeout")


def ids_asked(fault: Fault) -> int:
    """Count the model ids that may be asked: `kilo/auto` has a successor, and each fallback is one."""
    more = fault.settings.get("more", {})
    named = 2 if fault.settings.get("model") == "kilo/auto" else 1
    return named + len(more.get("fallback_models", ()))


def faults_of(subject: Subject, size: int, step: int) -> Iterator[Fault]:
    """Give everything that can go wrong for an asker.

    Args:
        subject: The asker.
        size: The bytes of its whole answer's body.
        step: The line ends after each so many bytes.

    """
    yield from lines_that_end(subject, size, step)
    yield from harmless(subject)
    yield from lies(subject)
    yield from refusals(subject)
    if subject.path != "models":
        yield from waits(subject)
    if subject.path == "chat/completions":
        yield from no_end(subject)
        yield from several_ids()
    if subject.streams:
        yield from odd_streams()
