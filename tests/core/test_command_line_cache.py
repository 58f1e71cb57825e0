"""`python -m kilocode_gateway cache` and `cache clear`, as their users see them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from kilocode_gateway import cache
from kilocode_gateway.__main__ import main
from tests.core.catalogs import discover
from tests.core.commands import keys_in_help, names_in, run, run_at_a_terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilocode_gateway.local import LocalGateway


@pytest.fixture
def lists(acme: LocalGateway, make_gateway: Callable[..., LocalGateway], cache_dir: Path) -> list[Path]:
    """Keep two lists, of two gateways, the second an organization's and ten hours old."""
    discover(acme)
    other = make_gateway()
    identity = (other.base_url, "org-1")
    cache.save(identity, {"a/b": '{"id": "a/b"}'}, cache.now() - 36_000)
    return [cache.path_of((acme.base_url, None)), cache.path_of(identity)]


def test_cache_tells_where_the_lists_are_how_old_and_how_large(lists: list[Path], cache_dir: Path) -> None:
    done = run("cache")
    assert done.returncode == 0
    folder, head, new, old = done.stdout.splitlines()
    assert folder == str(cache_dir)
    assert head.split() == ["gateway", "size", "age", "models", "organization"]
    assert new.split()[-2:] == ["seconds", "4"]
    assert new.split()[0] in lists[0].read_text()
    assert old.split()[-4:] == ["10", "hours", "1", "org-1"]
    size = sum(path.stat().st_size for path in lists)
    assert done.stderr == f"2 lists, {size / 1000:.1f} kB, fetched anew after 6 hours\n"


def test_cache_as_json(lists: list[Path], cache_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    new, old = told["lists"]
    assert told["folder"] == str(cache_dir)
    assert [new["path"], old["path"]] == list(map(str, lists))
    assert [new["bytes"], old["bytes"]] == [path.stat().st_size for path in lists]
    assert (new["organization_id"], new["models"], new["is_fresh"]) == (None, 4, True)
    assert (old["organization_id"], old["models"], old["is_fresh"]) == ("org-1", 1, False)
    assert cache.now() - 60 < new["fetched"] <= cache.now()
    assert names_in(told) <= keys_in_help("cache")


def test_cache_clear_tells_what_it_removed(lists: list[Path], cache_dir: Path) -> None:
    (cache_dir / "mine.txt").write_text("not a list")
    done = run("cache", "clear")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.startswith("2 lists, ")
    assert done.stderr.endswith(f" removed from {cache_dir}\n")
    assert [path.name for path in cache_dir.iterdir()] == ["mine.txt"]
    again = run("cache", "clear")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == f"0 lists, 0 bytes removed from {cache_dir}\n"


def test_cache_clear_as_json(lists: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "clear", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in told["removed"]] == list(map(str, lists))
    assert names_in(told) <= keys_in_help("cache")
    assert [path for path in lists if path.exists()] == []


def test_a_folder_that_is_not_there_holds_nothing(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_CACHE_DIR", str(cache_dir / "none"))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{cache_dir / 'none'}\n"
    assert main(["cache", "clear"]) == 0
    assert not (cache_dir / "none").exists()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nothing\n",
        b"[]\n",
        b'{"url": 1, "organization": null, "count": 1, "time": 1}\n',
        b'{"url": "x", "organization": null, "count": null, "time": 1}\n',
        b"\xff\xfe\n",
        b"[" * 100_000,
    ],
    ids=range(7),
)
def test_a_file_that_cannot_be_read_is_told_and_removed(
    cache_dir: Path, capsys: pytest.CaptureFixture[str], text: bytes
) -> None:
    path = cache_dir / "models-x.jsonl"
    path.write_bytes(text)
    assert main(["cache"]) == 0
    assert "unreadable: models-x.jsonl" in capsys.readouterr().out
    assert main(["cache", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["lists"]
    assert (told["bytes"], told["base_url"], told["fetched"], told["is_fresh"]) == (len(text), None, None, False)
    assert main(["cache", "clear"]) == 0
    assert not path.exists()


def test_what_cannot_be_removed_is_an_error(cache_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache_dir / "models-x.jsonl").mkdir()  # not even the superuser can remove a folder as a file
    (cache_dir / "models-y.jsonl").write_text("{}")
    assert main(["cache", "clear"]) == 1
    told = capsys.readouterr()
    assert "models-y" in told.out
    assert "models-x" not in told.out
    assert told.err.splitlines()[-1].startswith("error: 1 list")


@pytest.mark.skipif(os.name == "nt", reason="a terminal")
def test_the_table_of_the_cache_fits_the_terminal(lists: list[Path]) -> None:
    code, shown, _ = run_at_a_terminal("cache", columns=40)
    assert code == 0
    assert max(map(len, shown.splitlines()[1:])) <= 40
