"""The model list on disk: whole or absent, whoever writes it and whatever happens to it."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilocode_gateway import cache

if TYPE_CHECKING:
    from pathlib import Path

HERE: tuple[str, str | None] = ("https://gateway.example/api/gateway/", None)
LINES = {
    "acme/a": '{"id":"acme/a"}',
    "acme/b": '{"id":"acme/b","name":"Größe \u2028"}',
    "acme/\ud800": '{"id":"acme/\ud800"}',
}


def saved(cache_dir: Path) -> Path:
    cache.save(HERE, LINES, time.time())
    (path,) = cache_dir.iterdir()
    return path


def test_what_was_saved_is_loaded() -> None:
    fetched = time.time() - 100
    cache.save(HERE, LINES, fetched)
    kept = cache.load(HERE)
    assert kept is not None
    assert kept.fetched == fetched
    assert {id_: json.loads(line) for id_, line in kept.lines.items()} == {id_: {"id": id_} for id_ in LINES} | {
        "acme/b": {"id": "acme/b", "name": "Größe \u2028"}
    }
    assert list(kept.lines) == list(LINES), "in the gateway's order"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1, max_size=5))
def test_any_ids_and_texts_come_back(names: dict[str, str]) -> None:
    cache.save(HERE, {id_: json.dumps({"id": id_, "name": name}) for id_, name in names.items()}, time.time())
    kept = cache.load(HERE)
    assert kept is not None
    assert {id_: json.loads(line)["name"] for id_, line in kept.lines.items()} == names


def test_the_file_is_json_lines_with_a_header(cache_dir: Path) -> None:
    head, *rows = [
        json.loads(line) for line in saved(cache_dir).read_text("utf-8", "surrogatepass").removesuffix("\n").split("\n")
    ]
    assert head["format"] == cache.FORMAT
    assert (head["url"], head["organization"]) == HERE
    assert head["time"] == pytest.approx(time.time(), abs=60)
    assert {"length", "checksum"} <= set(head)
    assert [row["id"] for row in rows] == list(LINES)


def test_each_gateway_and_organization_has_its_own_file(cache_dir: Path) -> None:
    others = [HERE, (HERE[0], "org-1"), (HERE[0], "org-2"), ("https://other.example/api/gateway/", None)]
    for number, identity in enumerate(others):
        cache.save(identity, {f"acme/{number}": "{}"}, time.time())
    assert len(list(cache_dir.iterdir())) == len(others)
    for number, identity in enumerate(others):
        kept = cache.load(identity)
        assert kept is not None
        assert list(kept.lines) == [f"acme/{number}"]


def test_a_file_under_another_gateways_name_is_ignored(cache_dir: Path) -> None:
    path = saved(cache_dir)
    other = ("https://other.example/api/gateway/", None)
    path.rename(cache.path_of(other))
    assert cache.load(other) is None


def test_nothing_saved_is_nothing_loaded() -> None:
    assert cache.load(HERE) is None


def test_the_file_is_for_its_owner_only(cache_dir: Path) -> None:
    if os.name == "nt":
        pytest.skip("POSIX permissions")
    assert stat.S_IMODE(saved(cache_dir).stat().st_mode) == 0o600


def test_every_truncated_file_is_ignored_and_rewritten(cache_dir: Path) -> None:
    path = saved(cache_dir)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.load(HERE) is None, length
    saved(cache_dir)
    assert cache.load(HERE) is not None


def test_every_flipped_bit_is_noticed(cache_dir: Path) -> None:
    path = saved(cache_dir)
    whole = path.read_bytes()
    good = cache.load(HERE)
    for place in range(len(whole)):
        for bit in (1, 0x20, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            assert cache.load(HERE) in (None, good), (place, bit)


@pytest.mark.parametrize(
    "change",
    [
        {"format": cache.FORMAT + 1},
        {"format": "1"},
        {"time": "yesterday"},
        {"time": None},
        {"length": 0},
        {"checksum": 0},
        {"ids": None},
        {"ids": []},
        {"ids": ["acme/a"]},
        {"url": "http://127.0.0.1/"},
        {"organization": "org-1"},
    ],
    ids=json.dumps,
)
def test_a_header_that_does_not_fit_is_ignored(cache_dir: Path, change: dict[str, object]) -> None:
    path = saved(cache_dir)
    head, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(head), **change}).encode() + b"\n" + rest)
    assert cache.load(HERE) is None


@pytest.mark.parametrize(
    "change",
    [
        {"time": 10**400},
        {"skipped": float("inf")},
        {"ids": [1, 2, 3]},
        {"ids": [None, "acme/b", "acme/c"]},
        {"starts": [0, 1.5, 2, -1]},
        {"starts": ["0", "1", "2", -1]},
    ],
    ids=range(6),
)
def test_a_signed_header_of_another_form_is_ignored(cache_dir: Path, change: dict[str, object]) -> None:
    path = saved(cache_dir)
    head, _, rest = path.read_bytes().partition(b"\n")
    header = json.loads(head)
    del header["checksum"]
    if "starts" in change:
        change = {"starts": [*change["starts"][:-1], header["starts"][-1]]}  # type: ignore[index]
    signed = b", %b\n%b" % (json.dumps({**header, **change}).encode()[1:], rest)
    path.write_bytes(b'{"checksum": %d%b' % (zlib.crc32(signed), signed))
    assert cache.load(HERE) is None


@pytest.mark.parametrize("other", [cache.FORMAT + 1, 0, "1", None], ids=repr)
def test_a_whole_file_of_another_format_is_rewritten(monkeypatch: pytest.MonkeyPatch, other: object) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache, "FORMAT", other)
        cache.save(HERE, LINES, time.time())
        assert cache.load(HERE) is not None
    assert cache.load(HERE) is None
    cache.save(HERE, LINES, time.time())
    assert cache.load(HERE) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\n\n",
        b"null",
        b"{}",
        b"[]\n[]",
        b'"x"\n{}',
        b"\x00" * 4096,
        b"\xff\xfe\n",
        b"[" * 200_000,
        b"9" * 9000,
    ],
    ids=range(11),
)
def test_a_foreign_file_is_ignored_and_rewritten(cache_dir: Path, content: bytes) -> None:
    path = saved(cache_dir)
    path.write_bytes(content)
    assert cache.load(HERE) is None
    cache.save(HERE, LINES, time.time())
    assert cache.load(HERE) is not None


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_makes_loading_fail(content: bytes) -> None:
    path = cache.path_of(HERE)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert cache.load(HERE) is None


def test_a_folder_in_the_place_of_the_file_is_no_failure(cache_dir: Path) -> None:
    cache.path_of(HERE).mkdir()
    assert cache.load(HERE) is None
    cache.save(HERE, LINES, time.time())
    assert [path.name for path in cache_dir.iterdir()] == [cache.path_of(HERE).name], "no half-written file stays"


def test_a_folder_that_cannot_be_made_is_no_failure(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache_dir / "file").write_text("in the way")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(cache_dir / "file" / "below"))
    cache.save(HERE, LINES, time.time())
    assert cache.load(HERE) is None


def test_a_folder_that_cannot_be_written_to_is_no_failure(cache_dir: Path) -> None:
    cache_dir.chmod(0o500)
    try:
        cache.save(HERE, LINES, time.time())
        kept = cache.load(HERE)
    finally:
        cache_dir.chmod(0o700)
    if os.geteuid() != 0:
        assert kept is None


def test_the_folder_is_made_and_may_name_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "~/deep/er")
    cache.save(HERE, LINES, time.time())
    assert len(list((tmp_path / "deep" / "er").iterdir())) == 1


def test_a_blank_variable_means_the_platforms_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "  ")
    assert cache.folder().is_absolute()
    assert "kilocode-gateway" in cache.folder().parts


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(0, True), (cache.TIME_TO_LIVE - 60, True), (cache.TIME_TO_LIVE + 1, False), (-10, True), (-86_400, False)],
)
def test_fresh_is_what_is_younger_than_six_hours_and_not_from_the_future(age: float, fresh: bool) -> None:
    assert cache.TIME_TO_LIVE == 6 * 3600
    assert cache.is_fresh(time.time() - age) is fresh


def test_clear_removes_the_lists_and_nothing_else(cache_dir: Path) -> None:
    saved(cache_dir)
    cache.save((HERE[0], "org-1"), LINES, time.time())
    (cache_dir / "mine.txt").write_text("keep")
    assert cache.clear() == 2
    assert [path.name for path in cache_dir.iterdir()] == ["mine.txt"]


def test_what_killed_processes_left_is_swept_away_later(cache_dir: Path) -> None:
    name = saved(cache_dir).name
    old, young = (cache_dir / f".{name}.{number}.tmp" for number in (1, 2))
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 86_400,) * 2)
    cache.save(HERE, LINES, time.time())
    assert not old.exists()
    assert young.exists(), "its writer may still be at work"


def test_old_lists_of_local_gateways_are_swept_away(cache_dir: Path) -> None:
    local = [(f"http://127.0.0.1:{port}/api/gateway/", None) for port in (41_001, 41_002, 41_003)]
    for identity in (HERE, *local):
        cache.save(identity, LINES, time.time())
    for identity in (HERE, *local[:2]):
        os.utime(cache.path_of(identity), (time.time() - 7 * 3600,) * 2)
    cache.save(local[0], LINES, time.time())
    assert {path.name for path in cache_dir.iterdir()} == {
        cache.path_of(identity).name for identity in (HERE, local[0], local[2])
    }


WRITER = """
import sys, time
from kilocode_gateway import cache
number = int(sys.argv[1])
lines = {f"acme/{n}": '{"id":"acme/%d","by":%d,"pad":"%s"}' % (n, number, "x" * 2000) for n in range(200)}
print("ready", flush=True)
while True:
    cache.save(("https://gateway.example/api/gateway/", None), lines, time.time())
"""


def start_writer(number: int) -> subprocess.Popen[bytes]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(number)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    return writer


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_eight_writers_killed_at_any_moment_never_leave_a_broken_list(cache_dir: Path) -> None:
    draw = random.Random(7)
    writers = [start_writer(number) for number in range(8)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        until = time.monotonic() + 30
        while cache.load(HERE) is None and time.monotonic() < until:
            time.sleep(0.01)
        seen: set[int] = set()
        for reads in itertools.count():
            if reads >= 300 and (len(seen) > 1 or time.monotonic() > until):
                break
            kept = cache.load(HERE)
            assert kept is not None, "a reader saw a list that was half written"
            authors = {json.loads(line)["by"] for line in kept.lines.values()}
            assert len(authors) == 1, "a reader saw a mixture of two lists"
            assert len(kept.lines) == 200
            seen |= authors
            if draw.random() < 0.04 and len(writers) > (0 if len(seen) > 1 else 2):
                writers[-1].send_signal(signal.SIGKILL)
                writers.pop().communicate()
        assert len(seen) > 1
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert cache.load(HERE) is not None
    left = list(cache_dir.glob(".models-*.tmp"))
    assert len(left) <= 8, "a killed process leaves at most the file that it was writing"
    for path in left:
        os.utime(path, (time.time() - 86_400,) * 2)
    cache.save(HERE, LINES, time.time())
    assert [path.name for path in cache_dir.iterdir()] == [cache.path_of(HERE).name]
