"""Settings: any text is a configuration that can be used and shows no key, or is refused without showing one."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
from hypothesis import strategies as st

from kilocode_gateway.config import GatewayConfig, checked_base_url
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import Secret, key_in
from kilocode_gateway.transport import Transport
from tests.properties.holding import holds
from tests.properties.values import scalars, texts

CANARY = "canary7f3a"

keys = texts.map(lambda text: f"{CANARY}{text}") | texts.map(lambda text: f"{text}{CANARY}")
schemes = st.sampled_from(["https://", "http://", "HTTPS://", "ftp://", "//", "https:/", "https:", ""])
users = st.sampled_from(["", "", "", f"user:{CANARY}@", f"{CANARY}@", f":{CANARY}@", f"a@b:{CANARY}@"])
HOSTS = """api.kilo.ai API.KILO.AI localhost 127.0.0.1 127.1.2.3 10.0.0.1 [::1] [::1 [v1.x] ü.example a..b xn--a a\\b
%41.example \u2100.example"""
hosts = st.sampled_from(["", "a b", "x" * 70 + ".example", *HOSTS.split()])
ports = st.sampled_from(["", "", ":443", ":0", ":8080", ":99999", ":-1", ":x", ":"])
paths = (
    st.sampled_from(["", "/", "/api/gateway", "/api/gateway//", "/a b", "/ü", "/%", f"/?k={CANARY}", f"/#{CANARY}"])
    | texts
)
addresses = st.builds("{}{}{}{}{}".format, schemes, users, hosts, ports, paths)


@holds(url=addresses | texts)
def test_any_address_can_be_used_or_is_refused(url: str) -> None:
    try:
        base = checked_base_url(url)
    except ConfigurationError as exc:
        assert "gateway address" in str(exc)
        assert CANARY not in str(exc)
        return
    assert base.endswith("/")
    assert checked_base_url(base) == base
    config = GatewayConfig(base_url=base)
    assert isinstance(config.is_default_origin, bool)
    for path in ("models", "/api/profile"):
        try:
            sent = httpx.URL(config.url(path))
        except httpx.InvalidURL:
            # Told when the first request is made.
            continue
        assert sent.scheme in ("http", "https")
        assert not sent.userinfo
        assert not sent.query


@holds(key=keys, url=st.sampled_from(["https://gateway.example/"]) | addresses, organization=texts, feature=texts)
def test_any_settings_are_used_or_refused_and_show_no_key(key: str, url: str, organization: str, feature: str) -> None:
    try:
        config = GatewayConfig.resolve(api_key=key, base_url=url, organization_id=organization, feature=feature)
    except ConfigurationError as exc:
        assert CANARY not in str(exc) + repr(exc) + repr(exc.facts())
        return
    for shown in (repr(config), str(config), repr(config.api_key), str(config.api_key), f"{config}"):
        assert CANARY not in shown
    assert CANARY not in config.asker()
    headers = config.headers({"x-mine": "1", "authorization": "Bearer other"})
    assert httpx.Headers(headers)["authorization"] == f"Bearer {key.strip()}"
    assert all("\n" not in value and "\r" not in value and value.isascii() for value in headers.values())
    found = key_in(headers)
    assert found == config.api_key == Secret(key.strip())
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert hash(again) == hash(config)
    assert CANARY not in repr(again)


@holds(given=keys | scalars | st.lists(texts))
def test_whatever_a_key_function_gives_is_a_key_or_refused(given: Any) -> None:
    config = GatewayConfig.resolve(api_key=lambda: given, base_url="https://gateway.example/")
    try:
        sent = config.headers()["Authorization"]
    except ConfigurationError as exc:
        assert CANARY not in str(exc) + repr(exc)
    else:
        assert sent == f"Bearer {given.strip()}"
        assert sent.isascii()
    assert CANARY not in repr(config)


@holds(api_key=keys | scalars | st.lists(texts))
def test_any_key_is_used_or_refused(api_key: Any) -> None:
    try:
        config = GatewayConfig.resolve(api_key=api_key)
    except ConfigurationError as exc:
        assert CANARY not in str(exc) + repr(exc)
    else:
        assert (config.api_key is None) == (api_key is None or not api_key.strip())
        assert CANARY not in repr(config)


@holds(headers=st.dictionaries(texts | st.sampled_from(["X-Mine", "host", "Authorization"]), keys | texts))
def test_any_headers_are_sent_or_refused(headers: dict[str, str]) -> None:
    try:
        transport = Transport(GatewayConfig(), headers=headers)
    except ConfigurationError as exc:
        assert not any(value in str(exc) for value in headers.values() if CANARY in value and value not in headers)
        return
    assert all(httpx.Headers({name: value}) for name, value in transport._headers.items())
