"""Names of models: any text is a stable id or refused, and what is near is one of those that there are."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kilocode_gateway.catalog import Catalog, UnknownModelError
from kilocode_gateway.embedding_models import EmbeddingModels
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.models import is_auto, parse_model_ref
from kilocode_gateway.tables import nearest
from tests.properties.holding import holds
from tests.properties.values import scalars, texts

segments = st.sampled_from(
    ["kilo", "kilocode", "kilo-auto", "auto", "free", "KILO", "a", "b:free", "", " ", "\t", "~x"]
)
prefixes = st.lists(st.sampled_from(["kilo/", "kilocode/", " "]), max_size=3).map("".join)
prefixed = st.builds("{}{}/{}".format, prefixes, segments, segments)
references = st.lists(segments, max_size=6).map("/".join) | prefixed | texts


@holds(reference=references | scalars)
def test_any_reference_is_a_stable_id_or_refused(reference: Any) -> None:
    try:
        id_ = parse_model_ref(reference)
    except ConfigurationError as exc:
        assert repr(reference) in str(exc)
        assert not isinstance(reference, str) or not set("ab:~") & set(reference)
        return
    assert id_
    assert id_ == id_.strip()
    assert parse_model_ref(id_) == id_
    assert parse_model_ref(f" kilocode/{id_}\n") == id_
    assert reference.strip().endswith(id_)
    assert isinstance(is_auto(id_), bool)
    assert is_auto(id_) == is_auto(id_.upper()) == is_auto(f" {id_} ")


@holds(wanted=references, ids=st.lists(references, max_size=8), most=st.integers(0, 4))
def test_near_names_are_among_those_that_there_are(wanted: str, ids: list[str], most: int) -> None:
    found = nearest(wanted, dict.fromkeys(ids), most)
    assert len(found) <= most
    assert len(set(found)) == len(found)
    assert set(found) <= set(ids) - {wanted}


@holds(500, reference=references | scalars)
def test_any_reference_is_in_a_list_or_is_told_what_is(reference: Any) -> None:
    for listed in (Catalog.bundled(), EmbeddingModels.bundled()):
        try:
            id_ = listed[reference].id
        except UnknownModelError as exc:
            assert reference not in listed
            assert listed.get(reference) is None
            assert all(near in listed for near in exc.details["nearest"])
            assert str(exc)
        else:
            assert reference in listed
            assert id_ in listed
