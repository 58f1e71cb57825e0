"""Headers and keys that are given where a request's fields belong: refused before anything is sent or shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilocode_gateway.errors import ConfigurationError, UnknownSettingError
from llama_index_kilocode import KiloCode, KiloCodeEmbedding

if TYPE_CHECKING:
    from kilocode_gateway.local import LocalGateway


@pytest.mark.parametrize("cls", [KiloCode, KiloCodeEmbedding])
@pytest.mark.parametrize("name", ["extra_headers", "default_headers", "headers"])
def test_headers_have_a_setting_that_is_not_shown(cls: Any, name: str) -> None:
    with pytest.raises(UnknownSettingError, match="use default_headers") as caught:
        cls(additional_kwargs={name: {"X-Secret": "secret-9"}})
    assert "secret-9" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("api_key", r"KiloCodeEmbedding\(api_key=\.\.\.\)"),
        ("openai_api_key", r"KiloCodeEmbedding\(api_key=\.\.\.\)"),
        ("api_base", r"KiloCodeEmbedding\(api_base=\.\.\.\)"),
        ("timeout", r"KiloCodeEmbedding\(timeout=\.\.\.\)"),
        ("max_retries", r"KiloCodeEmbedding\(max_retries=\.\.\.\)"),
        ("http_client", r"KiloCodeEmbedding\(http_client=\.\.\.\)"),
        ("model", r"KiloCodeEmbedding\(model=\.\.\.\)"),
        ("input", "the methods' argument"),
        ("extra_body", "into additional_kwargs themselves"),
    ],
)
def test_what_is_no_field_of_a_request_for_vectors(name: str, fix: str) -> None:
    with pytest.raises(UnknownSettingError, match=fix) as caught:
        KiloCodeEmbedding(additional_kwargs={name: "secret-9"})
    assert "secret-9" not in str(caught.value)


def test_what_is_put_there_later_is_not_sent(gateway: LocalGateway) -> None:
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url)
    embed.additional_kwargs["extra_headers"] = {"X-Secret": "secret-9"}
    with pytest.raises(UnknownSettingError, match="use default_headers"):
        embed.get_text_embedding("Hi.")
    assert gateway.requests == []


@pytest.mark.parametrize("given", ["input_type", ["input_type"], 5])
def test_further_fields_are_a_dict(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"must be a dict or None, got {type(given).__name__}"):
        KiloCodeEmbedding(additional_kwargs=given)


def test_fields_that_only_the_gateway_knows_are_sent(gateway: LocalGateway) -> None:
    fields = {"input_type": "search_query", "provider": {"sort": "price"}, "dimensions": 16, "user": "u1"}
    embed = KiloCodeEmbedding(api_key="test-key-1", api_base=gateway.base_url, additional_kwargs=fields)
    assert len(embed.get_text_embedding("Hi.")) == 16
    assert fields.items() <= gateway.last_request.json.items()
