"""`python -m kilocode_gateway doctor` and `balance`, as their users see them."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway import __version__, cache
from kilocode_gateway.__main__ import main
from kilocode_gateway.local import LocalGateway, Reply
from tests.core.catalogs import MODELS, discover
from tests.core.commands import KEY, keys_in_help, names_in, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def examined(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
    """Run the doctor, and give its exit code and what it says of each thing, with the mark in front."""
    code = main(["doctor"])
    told = capsys.readouterr()
    assert told.err == "", "everything is said in a finding"
    assert KEY not in told.out
    lines = [line.partition(": ") for line in told.out.splitlines()]
    return code, {head[5:]: f"{head[:5].strip()} {text}".strip() for head, _, text in lines}


@pytest.fixture
def account(make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    gateway = make_gateway(models=MODELS, api_keys=[KEY])
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    monkeypatch.setenv("KILOCODE_API_KEY", KEY)
    return gateway


def test_the_doctor_finds_nothing_wrong(account: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = examined(capsys)
    assert code == 0
    assert said["gateway"] == f"{account.base_url} (from KILOCODE_BASE_URL)"
    assert said["key"].startswith(f"ok from KILOCODE_API_KEY, length {len(KEY)}, …")
    assert said["key"].endswith("wxyz")
    assert said["model list"].startswith("ok 10 models, fetched in ")
    assert said["account"] == "ok signed in as user@example.com"
    assert said["balance"] == "ok 25.00 USD"
    assert f"kilocode-gateway {__version__}" in said["versions"]


@pytest.mark.parametrize(("dialect", "fails"), [("newest", False), ("february", True)])
def test_the_doctor_warns_of_v1_in_the_address_and_fails_only_where_the_gateway_refuses_it(
    make_gateway: Callable[..., LocalGateway],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dialect: str,
    fails: bool,
) -> None:
    gateway = make_gateway(dialect=dialect)
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    assert "address" not in examined(capsys)[1]
    monkeypatch.setenv("KILOCODE_BASE_URL", f"{gateway.base_url}v1")
    code, said = examined(capsys)
    assert said["address"].startswith("it ends in /v1, which older gateways refuse")
    assert said["address"].endswith("leave /v1 out of KILOCODE_BASE_URL")
    assert (code, said["model list"].startswith("FAIL")) == (int(fails), fails)


def test_the_doctor_as_json(account: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [finding["about"] for finding in told][:4] == ["gateway", "key", "model list", "cache"]
    assert {finding["ok"] for finding in told} == {True, None}
    assert names_in(told) <= keys_in_help("doctor")


def test_the_doctor_tells_which_key_wins(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILO_API_KEY", "test-key-of-another-account")
    _, said = examined(capsys)
    assert said["another key"] == "KILO_API_KEY holds a different one, which is not used: KILOCODE_API_KEY wins"
    monkeypatch.setenv("KILO_API_KEY", KEY)
    assert "another key" not in examined(capsys)[1]
    monkeypatch.delenv("KILOCODE_API_KEY")
    assert examined(capsys)[1]["key"].startswith("ok from KILO_API_KEY")


def test_the_doctor_tells_how_old_the_list_was(
    account: LocalGateway,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    new_process: Callable[[], None],
) -> None:
    assert examined(capsys)[1]["cache"] == f"{cache_dir}, new"
    now = time.time()
    monkeypatch.setattr(cache, "now", lambda: now + 1800)
    assert examined(capsys)[1]["cache"] == f"{cache_dir}; the list there was 30 minutes old, and is new now"
    monkeypatch.setattr(cache, "now", lambda: now + 10 * 3600)
    new_process()
    account.stop()
    assert examined(capsys)[1]["cache"] == f"{cache_dir}; the list there was too old (10 hours)"


@pytest.mark.skipif(os.name == "nt", reason="a file as a folder")
def test_the_doctor_tells_when_no_list_can_be_kept(
    account: LocalGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KILOCODE_CACHE_DIR", str(tmp_path / "file"))
    code, said = examined(capsys)
    assert code == 0
    assert "KILOCODE_CACHE_DIR" in said["cache"]


def test_the_doctor_tells_the_proxy_without_what_signs_in_to_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", "https://127.0.0.1:1/api/gateway")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{KEY}@proxy.example:8080")
    code, said = examined(capsys)
    assert (code, said["proxy"]) == (1, "proxy.example, from HTTPS_PROXY")


def test_the_doctor_without_a_key(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KILOCODE_API_KEY")
    code, said = examined(capsys)
    assert code == 0
    assert "KILOCODE_API_KEY" in said["key"]
    assert "account" not in said
    assert [request.path for request in account.requests] == ["/api/gateway/models"]


def test_the_doctor_with_a_bad_key(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-other")
    code, said = examined(capsys)
    assert code == 1
    assert said["model list"].startswith("ok"), "the list needs no key"
    assert said["account"].startswith("FAIL the gateway does not accept the key")
    assert "Invalid token" in said["account"]
    assert "balance" not in said


def test_the_doctor_with_a_foreign_organization(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILO_ORG_ID", "org-9")
    code, said = examined(capsys)
    assert code == 1
    assert said["account"].startswith("ok"), "the key is good"
    assert said["organization"].startswith("FAIL org-9")
    assert "Local (00000000-0000-4000-8000-000000000002)" in said["organization"]
    (profile,) = [request for request in account.requests if request.path == "/api/profile"]
    assert "x-kilocode-organizationid" not in profile.headers


def test_the_doctor_with_an_organization_of_ones_own(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILO_ORG_ID", "00000000-0000-4000-8000-000000000002")
    code, said = examined(capsys)
    assert (code, said["organization"], said["the organization's balance"]) == (0, "ok Local", "ok 25.00 USD")
    assert account.last_request.headers["x-kilocode-organizationid"].endswith("2")


def test_the_doctor_with_nothing_left(
    make_gateway: Callable[..., LocalGateway], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", make_gateway(balance=0).base_url)
    monkeypatch.setenv("KILOCODE_API_KEY", KEY)
    code, said = examined(capsys)
    assert code == 1
    assert said["balance"].startswith("FAIL 0.00 USD, used up")
    assert "https://app.kilo.ai" in said["balance"]


def test_the_doctor_before_a_gateway_that_is_not_there(
    account: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    discover(account)  # a fresh list in memory hides nothing
    account.stop()
    code, said = examined(capsys)
    assert code == 1
    assert "cannot be reached" in said["model list"]
    assert said["model list"].startswith("FAIL")
    assert said["account"].startswith("FAIL")


def test_the_doctor_before_something_that_is_no_gateway(
    account: LocalGateway, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Reply.raw(200, "<html><title>Welcome</title></html>")
    account.script(page, path="models")
    account.script(page, page, page, path="/api/profile")
    code, said = examined(capsys)
    assert code == 1
    assert "not JSON" in said["model list"]
    # There was nothing to keep, so the folder is not to blame.
    assert said["cache"] == f"no list of this gateway is kept in {cache_dir}."
    assert said["account"].startswith("FAIL")


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ({}, "an unnamed user"),
        ({"user": None, "organizations": "x"}, "an unnamed user"),
        ({"user": {"name": "N"}}, "N"),
    ],
    ids=range(3),
)
def test_the_doctor_bears_odd_accounts(
    account: LocalGateway, capsys: pytest.CaptureFixture[str], profile: dict[str, Any], name: str
) -> None:
    account.script(Reply.raw(200, profile), path="/api/profile")
    account.script(Reply.raw(200, {"balance": None}), path="/api/profile/balance")
    code, said = examined(capsys)
    assert (code, said["account"], said["balance"]) == (0, f"ok signed in as {name}", "ok not told")


def test_the_doctor_tells_a_bad_setting_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test\nkey")
    code, said = examined(capsys)
    assert code == 1
    assert list(said) == ["settings", "versions"]
    assert "line break" in said["settings"]


def test_balance(account: LocalGateway) -> None:
    done = run("balance")
    assert (done.returncode, done.stdout, done.stderr) == (0, "25.00 USD\n", "")


def test_balance_of_an_organization(account: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILO_ORG_ID", "org-1")
    assert run("balance").stdout == "25.00 USD (organization org-1)\n"
    assert account.last_request.headers["x-kilocode-organizationid"] == "org-1"


@pytest.mark.parametrize(
    ("answer", "told", "amount"),
    [
        ({"balance": 0.0034, "isDepleted": False}, "0.0034 USD", "0.0034"),
        ({"balance": 24.973812}, "24.97 USD", "24.973812"),
        ({"balance": -0.5, "isDepleted": True}, "-0.50 USD, used up: only free models answer.", "-0.5"),
        ({"balance": 12345, "isDepleted": None}, "12345.00 USD", "12345"),
        ({"balance": True, "isDepleted": 1}, "not told", None),
        ({"balance": "1"}, "not told", None),
        ({}, "not told", None),
    ],
    ids=range(7),
)
def test_balances_of_all_kinds(
    account: LocalGateway,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, Any],
    told: str,
    amount: str | None,
) -> None:
    account.script(*[Reply.raw(200, answer)] * 2, path="/api/profile/balance")
    assert main(["balance"]) == 0
    assert capsys.readouterr().out.startswith(told)
    assert main(["balance", "--json"]) == 0
    depleted = answer.get("isDepleted")
    assert json.loads(capsys.readouterr().out) == {
        "balance_usd": amount,
        "is_depleted": depleted if isinstance(depleted, bool) else None,
        "organization_id": None,
    }


def test_the_help_of_balance_names_every_key(account: LocalGateway) -> None:
    assert names_in(json.loads(run("balance", "--json").stdout)) <= keys_in_help("balance")


def test_balance_without_a_key_asks_nobody(account: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILOCODE_API_KEY")
    done = run("balance")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: No API key is set")
    assert done.stderr.count("\n") == 1
    assert account.requests == []


def test_balance_with_a_bad_key(account: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key-other")
    done = run("balance")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The API key is wrong, expired or revoked" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "test-key-other" not in done.stderr
