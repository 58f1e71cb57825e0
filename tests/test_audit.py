"""What `make audit` makes of what pip-audit tells: what fails, what is only told, and what proves nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[1] / ".ci" / "audit.py"

pytestmark = pytest.mark.skipif(not PATH.is_file(), reason="a source distribution has no .ci folder")


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("ci_audit", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _found(name: str, *ids: str) -> dict[str, Any]:
    vulns = [{"id": one, "aliases": [f"CVE-{one}"], "fix_versions": ["9.9"]} for one in ids]
    return {"name": name, "version": "1.0", "vulns": vulns}


UNKNOWN = {"name": "httpx", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "status", "says"),
    [
        ([_found("httpx"), _found("Lang_Chain")], 0, ""),
        ([_found("httpx", "A-1"), _found("lang-chain")], 1, "VULNERABLE: httpx 1.0: A-1, CVE-A-1, mended in 9.9"),
        ([_found("httpx"), _found("lang-chain"), _found("other", "A-1")], 0, "beside us: other 1.0"),
        ([_found("httpx", "B-1"), _found("lang-chain")], 0, "accepted: httpx 1.0: B-1, CVE-B-1, mended in 9.9 (why)"),
        ([UNKNOWN, _found("lang-chain")], 75, "SKIPPED: nothing could be learned of httpx"),
        ([UNKNOWN, _found("lang-chain", "A-1")], 1, "VULNERABLE: lang-chain"),
        ([], 75, "SKIPPED"),
    ],
)
def test_the_verdict(audit: Any, dependencies: list[dict[str, Any]], status: int, says: str) -> None:
    found, lines = audit.verdict({"dependencies": dependencies}, {"httpx", "lang-chain"}, {"CVE-B-1": "why"})
    assert found == status
    assert says in "\n".join(lines)


def test_what_users_get_is_what_counts(audit: Any) -> None:
    assert {"httpx", "platformdirs", "openai", "langchain-core", "llama-index-core"} <= audit.direct()
    assert "kilocode-gateway" not in audit.direct()


def test_what_is_accepted_has_a_reason(audit: Any) -> None:
    assert all(len(reason) > 20 for reason in audit.ACCEPTED.values())


def test_without_the_data_it_is_skipped_and_not_passed(
    audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(audit, "_run", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    assert audit.main() == 75
    assert "SKIPPED: pip-audit could not be had, or could not reach its data: no network" in capsys.readouterr().out
