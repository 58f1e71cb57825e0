"""The catalog against a gateway: discovered, kept, and never a failure."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from kilocode_gateway import cache, discovery
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import FAMILY, MODELS, config_of, discover, fetches, one_warning, warnings_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def test_discovered_models_stand_ahead_of_the_bundled_ones_in_the_gateways_order(acme: LocalGateway) -> None:
    found = discover(acme)
    assert list(found) == [entry["id"] for entry in MODELS] + FAMILY
    assert (found.source, found.skipped) == ("gateway", 0)
    assert found.age is not None
    assert 0 <= found.age < 30
    assert found["acme/large"].pricing.output == Decimal(30)
    assert all(found.is_discovered(entry["id"]) for entry in MODELS)
    assert not any(found.is_discovered(id_) for id_ in FAMILY)
    assert not found.is_discovered("nobody/nothing")


def test_what_the_gateway_says_of_the_family_wins(make_gateway: Callable[..., LocalGateway]) -> None:
    own = {"id": "kilo-auto/free", "name": "Own", "context_length": 5_000, "pricing": {}}
    found = discover(make_gateway(models=[*MODELS, own]))
    assert found["kilo-auto/free"].context_window == 5_000
    assert list(found).count("kilo-auto/free") == 1
    assert list(found).index("kilo-auto/free") == len(MODELS)


def test_one_get_without_key_organization_or_query(acme: LocalGateway) -> None:
    discover(acme)
    (request,) = acme.requests
    assert (request.method, request.path, request.query) == ("GET", "/api/gateway/models", "")
    assert request.authorization is None
    assert not any(name.startswith("x-kilocode") for name in request.headers)


def test_key_and_organization_are_sent_when_given_and_the_key_is_never_written(
    acme: LocalGateway, cache_dir: Path
) -> None:
    discover(acme, api_key="test-key-1", organization_id="org-1")
    assert acme.last_request.authorization == "Bearer test-key-1"
    assert acme.last_request.headers["x-kilocode-organizationid"] == "org-1"
    (path,) = cache_dir.iterdir()
    assert b"test-key-1" not in path.read_bytes()
    assert "test-key-1" not in path.name


def test_each_organization_has_its_own_list(acme: LocalGateway) -> None:
    for organization in (None, "org-1", "org-2", None, "org-1"):
        discover(acme, organization_id=organization)
    assert fetches(acme) == 3


def test_a_refused_key_does_not_hide_the_public_list(make_gateway: Callable[..., LocalGateway]) -> None:
    gateway = make_gateway(models=MODELS)
    gateway.script(Reply.raw(401, {"error": {"code": "invalid_token", "message": "Invalid token"}}), path="models")
    assert discover(gateway, api_key="test-key-1").source == "gateway"
    assert [request.authorization for request in gateway.requests] == ["Bearer test-key-1", None]


def test_an_organizations_list_is_never_asked_for_anonymously(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    acme.script(Reply.raw(401, {"error": {"code": "invalid_token", "message": "Invalid token"}}), path="models")
    assert discover(acme, api_key="test-key-1", organization_id="org-1").source == "bundled"
    assert fetches(acme) == 1
    assert "test-key-1" not in "".join(warnings_in(caplog))


def test_malformed_entries_are_skipped_and_counted_in_the_cache_too(
    make_gateway: Callable[..., LocalGateway], new_process: Callable[[], None]
) -> None:
    gateway = make_gateway()
    gateway.script(
        Reply.raw(200, {"data": [None, {"pricing": {}}, *MODELS, {"id": "x/y", "pricing": []}, MODELS[0]]}),
        path="models",
    )
    assert discover(gateway).skipped == 3
    new_process()
    again = discover(gateway)
    assert (again.source, again.skipped, fetches(gateway)) == ("cache", 3, 1)
    assert list(again)[:4] == [entry["id"] for entry in MODELS]


def test_one_fetch_for_a_process_and_a_cache_life(
    acme: LocalGateway, new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert discover(acme) is discover(acme)
    new_process()
    second = discover(acme)
    assert (second.source, fetches(acme)) == ("cache", 1)
    assert second.age is not None
    monkeypatch.setattr(cache, "now", lambda: time.time() + cache.TIME_TO_LIVE + 1)
    assert second.age > cache.TIME_TO_LIVE
    assert discover(acme).source == "gateway"
    assert fetches(acme) == 2


def test_an_old_list_in_memory_gives_way_to_a_young_one_of_another_process(
    acme: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    discover(acme)
    later = time.time() + cache.TIME_TO_LIVE + 60
    monkeypatch.setattr(cache, "now", lambda: later)
    cache.save(config_of(acme).identity, {"acme/new": json.dumps({"id": "acme/new"})}, later - 5)
    assert "acme/new" in discover(acme)
    assert fetches(acme) == 1


def test_refresh_fetches_though_a_fresh_list_is_at_hand(acme: LocalGateway) -> None:
    first = discover(acme)
    second = discover(acme, refresh=True)
    assert fetches(acme) == 2
    assert second is not first
    assert second == first


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


FAILURES: dict[str, tuple[Reply, str]] = {
    "500": (Reply.raw(500, {"error": "Failed to fetch models", "message": "later"}), "later"),
    "empty 500": (Reply.raw(500, b""), "500"),
    "503": (Reply.raw(503, {"error": "Service Unavailable", "message": "busy"}), "busy"),
    "404": (Reply.raw(404, {"error": "Not found"}), "Not found"),
    "HTML": (Reply.raw(200, "<html><title>Sign in to the hotel</title></html>"), "not JSON"),
    "empty 200": (Reply.raw(200, b""), "not JSON"),
    "cut JSON": (Reply.raw(200, b'{"data":[{"id":"acme/a"'), "not JSON"),
    "wrong shape": (Reply.raw(200, {"models": []}), "no list"),
    "an error inside a 200": (Reply.raw(200, {"error": {"message": "No such luck", "code": 429}}), "no list"),
    "empty list": (Reply.raw(200, {"data": []}), "empty"),
    "only malformed entries": (Reply.raw(200, {"data": [1, 2]}), "2 entries"),
    "redirect": (Reply.raw(307, b"", {"location": "https://elsewhere.example/models"}), "elsewhere.example"),
    "reset": (Reply.ordinary(reset_after=20), "broke"),
    "hung up": (Reply.ordinary(drop=True), "hung up"),
    "cut": (Reply.ordinary(cut_after=100), "broke"),
    "broken gzip": (Reply.ordinary(gzip="lie"), "decoded"),
    "slow to answer": (Reply.ordinary(delay=60), "within 0.3 seconds"),
    "stalled": (Reply.ordinary(stall_after=50, stall=60), "models"),
}


SLOW = ("slow to answer", "stalled")
"""On a machine that stands still, their time is over before a request is sent."""


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_gives_the_bundled_models_and_one_warning(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    reply, why = FAILURES[name]
    acme.script(reply, path="models")
    found = discover(acme, timeout=0.3 if name in SLOW else 60)
    assert (found.source, found.age, list(found)) == ("bundled", None, FAMILY)
    warning = one_warning(caplog)
    assert acme.base_url in warning
    assert "bundled" in warning
    assert why in warning
    assert fetches(acme) == 1 or (name in SLOW and not fetches(acme)), "one attempt, no redirect followed"


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_gives_the_last_good_list_marked_as_stale(
    acme: LocalGateway,
    caplog: pytest.LogCaptureFixture,
    new_process: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    reply, why = FAILURES[name]
    discover(acme)
    new_process()
    monkeypatch.setattr(cache, "now", lambda: time.time() + cache.TIME_TO_LIVE + 100)
    acme.script(reply, path="models")
    found = discover(acme, timeout=0.3 if name in SLOW else 60)
    assert found.source == "stale cache"
    assert list(found) == [entry["id"] for entry in MODELS] + FAMILY
    assert found.age == pytest.approx(cache.TIME_TO_LIVE + 100, abs=30)
    assert found.is_discovered("acme/large"), "a stale list was discovered all the same"
    warning = one_warning(caplog)
    assert acme.base_url in warning
    assert "seconds ago" in warning
    assert why in warning
    kept = cache.load(config_of(acme).identity)
    assert kept is not None
    assert "acme/large" in kept.lines, "the good list stays on disk"


def test_nobody_listening_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    found = Catalog.discover(base_url=f"http://127.0.0.1:{closed_port()}/")
    assert found.source == "bundled"
    warning = one_warning(caplog)
    assert "cannot be reached" in warning


def test_a_failed_fetch_is_not_tried_again_for_a_minute(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr(discovery, "time", clock)
    acme.script(Reply.raw(500, b""), Reply.raw(500, b""), path="models")
    assert discover(acme).source == "bundled"
    clock.now += discovery.RETRY_SECONDS - 1
    assert discover(acme).source == "bundled"
    assert Catalog.look(config_of(acme)).source == "bundled"
    assert asyncio.run(Catalog.adiscover(config=config_of(acme))).source == "bundled"
    assert (fetches(acme), len(warnings_in(caplog))) == (1, 1)
    clock.now += 2
    assert discover(acme).source == "bundled"
    assert (fetches(acme), len(warnings_in(caplog))) == (2, 2)
    assert discover(acme, refresh=True).source == "gateway", "refresh does not wait"
    assert discover(acme).source == "gateway"
    assert discovery.RETRY_SECONDS == 60


def test_a_failed_refresh_changes_no_catalog_that_somebody_holds(
    acme: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    first = discover(acme)
    large = first["acme/large"]
    acme.script(Reply.raw(500, b""), path="models")
    second = discover(acme, refresh=True)
    assert (first.source, second.source) == ("gateway", "stale cache")
    assert second is not first
    assert second["acme/large"] == large
    assert second.fetched == first.fetched
    assert len(warnings_in(caplog)) == 1


def test_a_success_after_a_failure_counts(acme: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.script(Reply.raw(500, b""), path="models")
    assert discover(acme).source == "bundled"
    monkeypatch.setattr(discovery, "RETRY_SECONDS", 0)
    assert discover(acme).source == "gateway"


@contextmanager
def trickling(*pieces: bytes, pause: float) -> Iterator[str]:
    """Serve an answer piece by piece, for ever so slowly."""

    def serve() -> None:
        try:
            with server.accept()[0] as client:
                client.recv(65536)
                for piece in pieces:
                    if stop.wait(pause):
                        return
                    client.sendall(piece)
        except OSError:
            return

    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            stop.set()
            thread.join()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    "pieces", [[HEAD, *[b" "] * 100], [HEAD[n : n + 1] for n in range(len(HEAD))]], ids=["body", "head"]
)
@pytest.mark.parametrize("way", ["sync", "async", "async with a client"])
def test_the_limit_is_for_the_whole_fetch(pieces: list[bytes], way: str, caplog: pytest.LogCaptureFixture) -> None:
    with trickling(*pieces, pause=0.05) as base_url:
        begun = time.monotonic()
        if way == "sync":
            found = Catalog.discover(base_url=base_url, timeout=0.4)
        else:
            found = asyncio.run(ask(base_url, own_client=way != "async"))
        took = time.monotonic() - begun
    assert found.source == "bundled"
    assert took > 0.35
    warning = one_warning(caplog)
    assert "0.4 seconds" in warning


async def ask(base_url: str, *, own_client: bool) -> Catalog:
    if not own_client:
        return await Catalog.adiscover(base_url=base_url, timeout=0.4)
    async with httpx.AsyncClient() as client:
        return await Catalog.adiscover(base_url=base_url, timeout=0.4, http_async_client=client)


def test_five_seconds_unless_said_otherwise() -> None:
    for way in (Catalog.discover, Catalog.adiscover):
        assert inspect.signature(way).parameters["timeout"].default == 5.0


@pytest.mark.parametrize("timeout", [0, -1, None, "5", True, float("nan")], ids=repr)
def test_a_limit_that_is_none_is_refused(acme: LocalGateway, timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="seconds"):
        discover(acme, timeout=timeout)
    with pytest.raises(ConfigurationError, match="seconds"):
        asyncio.run(Catalog.adiscover(base_url=acme.base_url, timeout=timeout))
    assert not acme.requests


def test_a_client_that_is_handed_in_is_used_and_stays_open(acme: LocalGateway) -> None:
    with httpx.Client(headers={"x-mine": "1"}) as client:
        assert discover(acme, http_client=client).source == "gateway"
        assert not client.is_closed
    assert acme.last_request.headers["x-mine"] == "1"


def test_an_async_client_that_is_handed_in_is_used_and_stays_open(acme: LocalGateway) -> None:
    async def main() -> Catalog:
        async with httpx.AsyncClient(headers={"x-mine": "1"}) as client:
            found = await Catalog.adiscover(base_url=acme.base_url, http_async_client=client)
            assert not client.is_closed
            return found

    assert asyncio.run(main()).source == "gateway"
    assert acme.last_request.headers["x-mine"] == "1"


def test_a_closed_client_is_the_callers_mistake_and_no_failed_fetch(acme: LocalGateway) -> None:
    client = httpx.Client()
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        discover(acme, http_client=client)
    assert discover(acme).source == "gateway"


def test_a_cache_that_cannot_be_written_is_no_failure(
    acme: LocalGateway, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (cache_dir / "file").write_text("in the way")
    monkeypatch.setenv("KILOCODE_CACHE_DIR", str(cache_dir / "file"))
    assert discover(acme).source == "gateway"
    assert not warnings_in(caplog)


def test_a_corrupt_cache_is_fetched_anew_and_rewritten(
    acme: LocalGateway, cache_dir: Path, new_process: Callable[[], None]
) -> None:
    discover(acme)
    (path,) = cache_dir.iterdir()
    good = path.read_bytes()
    path.write_bytes(good[:-7])
    new_process()
    assert Catalog.at_hand(config_of(acme)).source == "bundled"
    assert discover(acme).source == "gateway"
    new_process()
    assert discover(acme).source == "cache"
    assert fetches(acme) == 2


def test_at_hand_never_asks(
    acme: LocalGateway,
    new_process: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Catalog.at_hand(config_of(acme)) is Catalog.bundled()
    assert not acme.requests
    found = discover(acme)
    assert Catalog.at_hand(config_of(acme)) is found
    new_process()
    assert Catalog.at_hand(config_of(acme)).source == "cache"
    new_process()
    monkeypatch.setattr(cache, "now", lambda: time.time() + 100 * 86_400)
    old = Catalog.at_hand(config_of(acme))
    assert (old.source, "acme/large" in old) == ("stale cache", True)
    assert (fetches(acme), warnings_in(caplog)) == (1, [])


def test_at_hand_reads_the_disk_once_in_a_while_only(acme: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    load = cache.load
    monkeypatch.setattr(cache, "load", lambda identity: reads.append(identity) or load(identity))
    for _ in range(50):
        Catalog.at_hand(config_of(acme))
    assert len(reads) == 1


def test_a_list_that_was_just_discovered_is_at_hand_though_the_disk_had_none(acme: LocalGateway) -> None:
    Catalog.at_hand(config_of(acme))
    discover(acme)
    assert "acme/large" in Catalog.at_hand(config_of(acme))
