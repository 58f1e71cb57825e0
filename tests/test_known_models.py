"""What `make known-models` writes, asked of local gateways."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from kilocode_gateway import known_models
from kilocode_gateway.known_models import KnownEmbeddingModel, KnownFIMModel, KnownModel
from kilocode_gateway.wire.fim import USUAL_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilocode_gateway.local import LocalGateway

PATH = Path(__file__).parents[1] / ".ci" / "known_models.py"
FREE = {"prompt": "0", "completion": "0"}

needs_the_script = pytest.mark.skipif(not PATH.is_file(), reason="a source distribution has no .ci folder")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("ci_known_models", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    module = tmp_path / "known_models.py"
    module.write_bytes(Path(str(known_models.__file__)).read_bytes())
    return module


def _names(module: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(module.read_text(encoding="utf-8"), names)
    return names


@needs_the_script
def test_the_module_is_what_the_script_writes(script: Any) -> None:
    text = Path(str(known_models.__file__)).read_text(encoding="utf-8")
    assert script.render(set(get_args(KnownModel)), set(get_args(KnownEmbeddingModel))) == text
    assert {"kilo/auto", "kilo-auto/free", "openai/gpt-5.4"} <= set(get_args(KnownModel))
    assert USUAL_MODEL in get_args(KnownFIMModel)


@needs_the_script
def test_only_what_is_documented_and_still_listed_goes_in(
    script: Any,
    make_gateway: Callable[..., LocalGateway],
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = ("x-ai/grok-4", "acme/unheard-of", "openai/gpt-5.4")
    gateway = make_gateway(models=[{"id": id_, "name": id_, "pricing": FREE} for id_ in listed])
    monkeypatch.setenv("KILOCODE_BASE_URL", gateway.base_url)
    monkeypatch.setenv("KILOCODE_API_KEY", "test-key")
    before = {id_ for name in (KnownModel, KnownEmbeddingModel, KnownFIMModel) for id_ in get_args(name)}

    assert script.main(copy) == 0

    names = _names(copy)
    assert list(get_args(names["KnownModel"])) == sorted([*script.FAMILY, "openai/gpt-5.4", "x-ai/grok-4"])
    embeddings = get_args(names["KnownEmbeddingModel"])
    assert "openai/text-embedding-3-small" in embeddings
    assert list(embeddings) == sorted(embeddings)
    assert all("authorization" not in request.headers for request in gateway.requests)
    after = {id_ for name in ("KnownModel", "KnownEmbeddingModel", "KnownFIMModel") for id_ in get_args(names[name])}
    told, *lines = capsys.readouterr().out.splitlines()
    assert told == f"{len(after)} ids, of which {len(after - before)} are new; {len(before - after)} are gone"
    assert lines == [f"+ {id_}" for id_ in sorted(after - before)] + [f"- {id_}" for id_ in sorted(before - after)]
    first = copy.read_bytes()

    assert script.main(copy) == 0
    assert copy.read_bytes() == first
    assert capsys.readouterr().out == f"{len(after)} ids, of which 0 are new; 0 are gone\n"


@needs_the_script
def test_nothing_is_written_where_nobody_answers(
    script: Any,
    make_gateway: Callable[..., LocalGateway],
    copy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KILOCODE_BASE_URL", make_gateway(models=[]).base_url)
    before = copy.read_bytes()
    assert script.main(copy) == 1
    assert copy.read_bytes() == before
    assert "could not be asked, so nothing was written" in capsys.readouterr().err


@needs_the_script
def test_an_id_can_break_out_of_no_string(script: Any) -> None:
    text = script.render(set(), {'acme/"] + [exit()]#', "acme/one"})
    assert {'acme/"] + [exit()]#', "acme/one"} <= script.ids_in(text)
