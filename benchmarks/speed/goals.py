"""What is measured, what it is compared with, and what it must reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.speed.subjects import BY_NAME, LANGCHAIN, LLAMA_INDEX
from benchmarks.speed.works import SMALL

LANGCHAIN_PEERS = ("httpx", "openai", "ChatKiloCode", "ChatOpenAI", "ChatOpenRouter", "ChatLiteLLM")
LLAMA_INDEX_PEERS = ("httpx in LlamaIndex", "openai 2", "KiloCode", "OpenAILike", "OpenRouter")
SLOW = frozenset({"ChatOpenRouter", "ChatLiteLLM", "OpenRouter"})
"""Whom no goal names, and who takes so long that two turns must do."""
NEAR = 0.05
"""A figure this near to its goal may lie beyond it in a run, when the median of the runs does not."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A piece of work, whoever does it."""

    title: str
    work: str
    arguments: tuple[tuple[str, Any], ...] = ()
    subjects: tuple[str, ...] = ()
    turns: int = 9

    def key(self, subject: str) -> str:
        """Give the name under which a result holds the figures of that subject."""
        told = ", ".join(f"{name}={value}" for name, value in self.arguments)
        return f"{subject}: {self.work}({told})"


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the table: a figure, in relation to another one or by itself, and its limit."""

    title: str
    ours: str
    limit: float
    beside: str = ""
    """Empty for a figure that stands by itself."""
    figure: str = "cpu"
    beside_figure: str = "cpu"
    unit: str = ""
    factor: float = 1.0
    way: Literal["at most", "at least"] = "at most"

    def value(self, result: dict[str, dict[str, float]]) -> float:
        """Give the figure of one run."""
        found = result[self.ours][self.figure] * self.factor
        return found / result[self.beside][self.beside_figure] if self.beside else found

    def holds(self, value: float) -> bool:
        """Say whether a figure is within the limit."""
        return value <= self.limit if self.way == "at most" else value >= self.limit

    def is_reached(self, values: list[float]) -> bool:
        """Say whether the goal is reached in all runs, or, where it was near, by the median of them."""
        middle = sorted(values)[len(values) // 2]
        near = all(self.holds(value) or (self.limit and abs(value / self.limit - 1) <= NEAR) for value in values)
        return all(map(self.holds, values)) or (near and self.holds(middle))


def _stream(title: str, answer: str, subjects: tuple[str, ...], **more: Any) -> Measured:
    turns = more.pop("turns", 9)
    return Measured(title, "stream", (("answer", answer), *more.items()), subjects, turns)


def _streams(way: str) -> list[Measured]:
    named = {"text": "a chunk of text", "reasoning": "a chunk of reasoning", "tools": "a chunk of a tool's arguments"}
    return [
        _stream(f"{title}, {way}", f"{kind}-2000", (*LANGCHAIN_PEERS, *LLAMA_INDEX_PEERS), way=way)
        for kind, title in named.items()
    ]


_EVERYBODY = (*LANGCHAIN_PEERS, *LLAMA_INDEX_PEERS)
_PEERS = (
    *_streams("sync"),
    *_streams("async"),
    Measured("a small request", "request", (("messages", 1), ("times", SMALL)), _EVERYBODY, 5),
    Measured("a request with 1,000 messages", "request", (("messages", 1000), ("times", 3)), _EVERYBODY, 5),
    _stream("a chunk of text after 1,000 messages", "text-2000", _EVERYBODY, messages=1000, turns=5),
)
"""What everybody does; the second table shows it."""

_KILO = ("ChatKiloCode", "KiloCode")
_LONG = tuple(
    _stream("", f"{kind}-20000", _KILO, way=way, turns=5) for kind in ("text", "tools") for way in ("sync", "async")
)
_QUICK = tuple(name for name in _EVERYBODY if name not in SLOW)
_APART = (
    _stream("a chunk of text that arrives by itself", "text-1000-apart", _QUICK, way="sync", turns=3),
    _stream("the same, async", "text-1000-apart", _QUICK, way="async", turns=3),
)
_EVENTS = tuple(
    Measured("", "events", (("answer", f"{kind}-{number}"),), _KILO if kind == "text" else ("ChatKiloCode",), 5)
    for kind in ("text", "tools")
    for number in (2000, 20000)
)
_TOTALS = tuple(
    Measured("", "total", (("answer", f"tools-4000{framed}"),), ("ChatKiloCode", "ChatOpenAI"), 1)
    for framed in ("", "-joined")
)
_CROWDS = tuple(
    Measured("", "crowd", (("at_once", number),), ("openai", "ChatKiloCode", "openai 2", "KiloCode", "OpenAILike"), 4)
    for number in (10, 100)
)
_OBJECTS = Measured("", "objects", (), _KILO, 3)
_PICTURE = Measured("", "picture", (), ("ChatKiloCode", "ChatOpenAI", "KiloCode", "OpenAILike"), 4)
_IMPORTS = {
    "ChatKiloCode": ("httpx", "kilocode_gateway", "langchain_kilocode", "langchain_openai.chat_models.base"),
    "KiloCode": ("llama_index_kilocode", "llama_index.llms.openai_like"),
}
_IMPORTED = tuple(
    Measured("", "imported", (("module", module),), (subject,), 9)
    for subject, modules in _IMPORTS.items()
    for module in modules
)
# The core needs no framework, so its catalog is measured in a process without one.
_CATALOGS = tuple(Measured("", "catalog", (("number", number),), ("httpx",), 9) for number in (500, 5000))
MEASURED = (
    *_PEERS,
    *_APART,
    *_LONG,
    *_EVENTS,
    *_TOTALS,
    *_CROWDS,
    _OBJECTS,
    _PICTURE,
    *_IMPORTED,
    *_CATALOGS,
)
SHOWN = (*_PEERS, *_APART)


def _key(subject: str, work: str, **arguments: Any) -> str:
    return Measured("", work, tuple(arguments.items())).key(subject)


def _of_streams() -> list[Goal]:
    limits = {
        ("ChatKiloCode", "sync"): {"openai": 0.30, "ChatOpenAI": 0.15},
        ("ChatKiloCode", "async"): {"openai": 0.50, "ChatOpenAI": 0.25},
        ("KiloCode", "sync"): {"openai 2": 0.35, "OpenAILike": 0.22},
        ("KiloCode", "async"): {"openai 2": 0.55, "OpenAILike": 0.38},
    }
    found = []
    for (ours, way), peers in limits.items():
        text, reasoning = (_key(ours, "stream", answer=f"{kind}-2000", way=way) for kind in ("text", "reasoning"))
        for peer, limit in peers.items():
            beside = _key(peer, "stream", answer="text-2000", way=way)
            found.append(Goal(f"{ours}, a chunk of text, {way}, of {peer}", text, limit, beside))
        found.append(Goal(f"{ours}, a chunk of reasoning, {way}, of one of text", reasoning, 1.3, text))
        tools = _key(ours, "stream", answer="tools-2000", way=way)
        bare = next(iter(peers))
        beside = _key(bare, "stream", answer="tools-2000", way=way)
        found.append(Goal(f"{ours}, a chunk of a tool's arguments, {way}, of {bare}", tools, 0.75, beside))
    return found


def _of_long_streams() -> list[Goal]:
    found = []
    for ours, limit in (("ChatKiloCode", 2.0), ("KiloCode", 1.5)):
        for kind, named in (("text", "text"), ("tools", "a tool's arguments")):
            for way in ("sync", "async"):
                long, short = (_key(ours, "stream", answer=f"{kind}-{size}", way=way) for size in (20000, 2000))
                title = f"{ours}, a chunk of 20,000 of {named}, {way}, of one of 2,000"
                found.append(Goal(title, long, limit, short))
            if kind == "text" or ours == "ChatKiloCode":
                long, short = (_key(ours, "events", answer=f"{kind}-{size}") for size in (20000, 2000))
                title = f"{ours}, stream_events, a chunk of 20,000 of {named}, of one of 2,000"
                found.append(Goal(title, long, limit, short))
    long, short = (_key(name, "total", answer="tools-4000-joined") for name in ("ChatKiloCode", "ChatOpenAI"))
    found.append(
        Goal(
            "ChatKiloCode, the sum of 4,000 pieces of a tool's arguments, many in each HTTP chunk, of ChatOpenAI",
            long,
            0.5,
            short,
        )
    )
    return found


def _of_requests() -> list[Goal]:
    found = []
    for ours, reading, peer, bare in (
        ("ChatKiloCode", "httpx", "ChatOpenAI", "openai"),
        ("KiloCode", "httpx in LlamaIndex", "OpenAILike", "openai 2"),
    ):
        mine, raw, theirs = (_key(name, "request", messages=1000, times=3) for name in (ours, reading, peer))
        found.append(Goal(f"{ours}, a request with 1,000 messages, of {peer}", mine, 0.06, theirs))
        found.append(Goal(f"{ours}, a request with 1,000 messages, of httpx and json", mine, 6, raw))
        mine, theirs = (_key(name, "request", messages=1, times=SMALL) for name in (ours, bare))
        small = 0.9 if ours == "ChatKiloCode" else 1.0
        found.append(Goal(f"{ours}, a small request, of {bare}", mine, small, theirs))
        mine, theirs = (_key(name, "stream", answer="text-2000", messages=1000) for name in (ours, bare))
        found.append(Goal(f"{ours}, a chunk of text after 1,000 messages, of {bare}", mine, 0.25, theirs))
        mine, theirs = (_key(name, "picture") for name in (ours, peer))
        found.append(Goal(f"{ours}, a picture of 5 MB, of {peer}", mine, 1.0, theirs))
        found.append(Goal(f"{ours}, a picture of 5 MB, most memory", mine, 3, figure="copies", unit=" copies"))
    return found


def _of_crowds() -> list[Goal]:
    found = []
    for ours in _KILO:
        for number in (100, 10):
            for peer in ("OpenAILike", "openai 2", "openai"):
                limit = 4.0 if number == 100 and peer != "openai" else 1.0  # noqa: PLR2004 - the larger crowd
                mine, theirs = (_key(name, "crowd", at_once=number) for name in (ours, peer))
                title = f"{ours}, requests a second, {number} at once, of {peer}"
                found.append(Goal(title, mine, limit, theirs, "rate", "rate", way="at least"))
    return found


def _of_starts() -> list[Goal]:
    found = []
    for ours in _KILO:
        key = _key(ours, "objects")
        found.append(Goal(f"{ours}, one more object", key, 1.0, figure="cpu", unit=" ms", factor=1000))
        found.append(Goal(f"{ours}, one more object, memory", key, 10, figure="bytes", unit=" KiB", factor=1 / 1024))
        found.append(Goal(f"{ours}, 50 more objects, new file descriptors", key, 0, figure="files"))
    for name, subject, beside, limit in (
        ("kilocode_gateway", "ChatKiloCode", "httpx", 1.3),
        ("langchain_kilocode", "ChatKiloCode", "langchain_openai.chat_models.base", 1.1),
        ("llama_index_kilocode", "KiloCode", "llama_index.llms.openai_like", 1.1),
    ):
        ours, theirs = (_key(subject, "imported", module=module) for module in (name, beside))
        found.append(Goal(f"import {name}, of import {beside}", ours, limit, theirs))
    for number in (500, 5000):
        key = _key("httpx", "catalog", number=number)
        title = f"catalog of {number:,} models, "
        found.append(
            Goal(f"{title}discover, of GET and json.loads", key, 1.5, key, figure="discover", beside_figure="plain")
        )
        found.append(
            Goal(
                f"{title}start from the cache, of GET and json.loads",
                key,
                0.35,
                key,
                figure="warm",
                beside_figure="plain",
            )
        )
    return found


GOALS = (*_of_streams(), *_of_long_streams(), *_of_requests(), *_of_crowds(), *_of_starts())


def bare_client(subject: str) -> str:
    """Name the bare openai client that a subject is compared with: the one of its framework."""
    return {LANGCHAIN: "openai", LLAMA_INDEX: "openai 2"}[
        LLAMA_INDEX if BY_NAME[subject].environment in (LLAMA_INDEX, "openrouter") else LANGCHAIN
    ]
