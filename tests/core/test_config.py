"""Where requests go and who asks, from arguments, the environment and defaults."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import Any

import pytest

from kilocode_gateway.config import DEFAULT_BASE_URL, GatewayConfig
from kilocode_gateway.errors import ConfigurationError
from kilocode_gateway.hidden import Secret
from tests.core.helpers import KEY


class Hidden:
    """What pydantic's SecretStr looks like from outside."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get_secret_value(self) -> Any:
        return self.value


def test_defaults() -> None:
    config = GatewayConfig.resolve()
    assert config == GatewayConfig()
    assert (config.api_key, config.base_url, config.organization_id, config.feature) == (
        None,
        DEFAULT_BASE_URL,
        None,
        None,
    )
    assert config.headers() == {}
    assert config.is_default_origin
    assert config.identity == (DEFAULT_BASE_URL, None)


NAMES = [
    "KILOCODE_API_KEY",
    "KILO_API_KEY",
    "KILOCODE_BASE_URL",
    "KILOCODE_ORGANIZATION_ID",
    "KILO_ORG_ID",
    "KILOCODE_FEATURE",
]


def test_the_environment_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILO_API_KEY", "second")
    monkeypatch.setenv("KILO_ORG_ID", "org-second")
    config = GatewayConfig.resolve()
    assert (config.api_key, config.organization_id, config.api_key_from_env) == (Secret("second"), "org-second", True)
    monkeypatch.setenv("KILOCODE_API_KEY", "first")
    monkeypatch.setenv("KILOCODE_ORGANIZATION_ID", "org-first")
    monkeypatch.setenv("KILOCODE_FEATURE", "mine")
    monkeypatch.setenv("KILOCODE_BASE_URL", "https://gateway.example/x")
    config = GatewayConfig.resolve()
    assert config == GatewayConfig(
        Secret("first"), "https://gateway.example/x/", "org-first", "mine", api_key_from_env=True
    )
    given = GatewayConfig.resolve(api_key="k", base_url="https://a.example", organization_id="o", feature="f")
    assert given == GatewayConfig(Secret("k"), "https://a.example/", "o", "f", api_key_from_env=False)


@pytest.mark.parametrize("blank", ["", " ", "\t  ", "\n"], ids=repr)
def test_blanks_count_as_absent(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, blank)
    blanks = GatewayConfig.resolve(api_key=blank, base_url=blank, organization_id=blank, feature=blank)
    assert blanks == GatewayConfig.resolve() == GatewayConfig()
    monkeypatch.setenv("KILO_API_KEY", "second")
    assert GatewayConfig.resolve(api_key=Hidden(blank)).api_key == Secret("second")


@pytest.mark.parametrize("key", ["k", Secret("k"), Hidden("k"), " k\t"], ids=["text", "Secret", "SecretStr", "blanks"])
def test_forms_of_a_key(key: object) -> None:
    assert GatewayConfig.resolve(api_key=key).headers() == {"Authorization": "Bearer k"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("\n", "a line break"),
        ("\r", "a line break"),
        (" ", "a blank or control character"),
        ("\x00", "a blank or control character"),
        ("\x7f", "a blank or control character"),
        ("\u00e9", "a non-ASCII character"),
        ("\u200b", "a non-ASCII character"),
        ("\u2028", "a non-ASCII character"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", ["argument", "environment"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, bad: str, says: str, place: str
) -> None:
    key = f"{KEY}{bad}{KEY}"
    if place == "environment" and bad != "\x00":
        monkeypatch.setenv("KILOCODE_API_KEY", key)
    with pytest.raises(ConfigurationError, match=says) as caught:
        GatewayConfig.resolve(api_key=key if place == "argument" or bad == "\x00" else None)
    assert KEY not in str(caught.value)
    assert "app.kilo.ai" in str(caught.value)


def test_a_key_with_a_line_break_at_its_end_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match="a line break"):
        GatewayConfig.resolve(api_key=f"{KEY}\n")


@pytest.mark.parametrize("key", [5, b"k", ["k"], Hidden(5), object()], ids=lambda key: type(key).__name__)
def test_a_key_that_is_no_text(key: object) -> None:
    with pytest.raises(ConfigurationError, match="must be a string"):
        GatewayConfig.resolve(api_key=key)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.kilo.ai/api/gateway", "https://api.kilo.ai/api/gateway/"),
        ("https://api.kilo.ai/api/gateway/", "https://api.kilo.ai/api/gateway/"),
        ("https://api.kilo.ai/api/gateway//", "https://api.kilo.ai/api/gateway/"),
        ("https://api.kilo.ai/api/gateway/v1", "https://api.kilo.ai/api/gateway/v1/"),
        ("https://models.example/our-models", "https://models.example/our-models/"),
        (" https://host.example:8443/x ", "https://host.example:8443/x/"),
        ("HTTPS://host.example", "HTTPS://host.example/"),
        ("http://localhost:1", "http://localhost:1/"),
        ("http://127.0.0.1", "http://127.0.0.1/"),
        ("http://127.9.9.9:80/a", "http://127.9.9.9:80/a/"),
        ("http://[::1]:80/a", "http://[::1]:80/a/"),
    ],
)
def test_addresses(given: str, url: str) -> None:
    config = GatewayConfig.resolve(base_url=given)
    assert config.base_url == url
    assert config.url("chat/completions") == f"{url}chat/completions"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("api.kilo.ai/api/gateway", "http"),
        ("ftp://host.example/", "http"),
        ("https://", "with a host"),
        ("https:///path", "with a host"),
        ("https://host.example:port/", "with a host"),
        ("https://host.example:99999/", "with a host"),
        ("https://[::1/", "with a host"),
        ("https://exa mple/", "with a host"),
        ("https://host.example/a\nb", "with a host"),
        ("https://host.example/?key=hidden", "no query"),
        ("https://host.example/#hidden", "no fragment"),
        ("https://user:hidden@host.example/", "credentials"),
        ("https://hidden@host.example/", "credentials"),
        ("https://user:hidden@host.example:99999/", "'host.example:99999/'"),
        ("https://user:hidden@host.example[", "with a host"),
        ("https:/user:hidden@host.example", "'host.example'"),
        ("host.example/?key=hidden", "'host.example/'"),
        ("http://host.example/", "not encrypted"),
        ("http://10.0.0.1/", "not encrypted"),
        ("http://localhost.example/", "not encrypted"),
        ("http://127.0.0.1.example/", "not encrypted"),
        ("https://host.example/x/chat/completions", "Give 'https://host.example/x/'"),
        ("https://host.example/x/v1/CHAT/completions/", "Give 'https://host.example/x/v1/'"),
        ("https://host.example/x/fim/completions", "before '/fim/completions', which is added to it"),
        ("https://host.example/x/completions", "Give 'https://host.example/x/'"),
        ("https://host.example/x/embeddings//", "Give 'https://host.example/x/'"),
        ("http://localhost:1/models", "Give 'http://localhost:1/'"),
    ],
)
def test_addresses_that_are_refused(monkeypatch: pytest.MonkeyPatch, url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        GatewayConfig.resolve(base_url=url)
    assert "hidden" not in str(caught.value)
    monkeypatch.setenv("KILOCODE_BASE_URL", url)
    with pytest.raises(ConfigurationError, match=says):
        GatewayConfig.resolve()


@pytest.mark.parametrize(
    ("base", "own"),
    [
        ("https://api.kilo.ai/api/gateway", True),
        ("https://API.KILO.AI/api/openrouter", True),
        ("https://api.kilo.ai:443/api/gateway", True),
        ("https://api.kilo.ai.example/api/gateway", False),
        ("https://ai-gateway.kilo.ai/api/v1/", False),
        ("http://127.0.0.1:1/api/gateway", False),
    ],
)
def test_the_default_origin(base: str, own: bool) -> None:
    assert GatewayConfig.resolve(base_url=base).is_default_origin is own


def test_paths_on_the_host() -> None:
    config = GatewayConfig.resolve(base_url="https://host.example:8443/api/gateway")
    assert config.url("/api/profile") == "https://host.example:8443/api/profile"


@pytest.mark.parametrize("field", ["organization_id", "feature"])
@pytest.mark.parametrize("value", ["a\nb", "a\x00", "é"], ids=repr)
def test_what_cannot_stand_in_a_header(field: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match="printable ASCII"):
        GatewayConfig.resolve(**{field: value})


def test_own_headers_win_whatever_their_case() -> None:
    config = GatewayConfig.resolve(api_key="k", organization_id="o")
    extra = {"authorization": "x", "x-kilocode-organizationid": "x", "X-KiloCode-Feature": "theirs", "Accept": "y"}
    assert config.headers(extra) == {
        "Authorization": "Bearer k",
        "X-KILOCODE-ORGANIZATIONID": "o",
        "X-KiloCode-Feature": "theirs",
        "Accept": "y",
    }
    assert GatewayConfig.resolve().headers({"authorization": "x"}) == {"authorization": "x"}


def _raise(error: Exception) -> None:
    raise error


def test_a_secret_does_not_show() -> None:
    secret = Secret(KEY)
    config = GatewayConfig.resolve(api_key=secret)
    for thing in (secret, config, [secret], {"key": config}):
        for text in (repr(thing), str(thing), f"{thing}", f"{thing!r:>5}"):
            assert KEY not in text
    error = KeyError(secret, config)
    with pytest.raises(KeyError):
        _raise(error)
    assert KEY not in "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert secret.reveal() == KEY
    assert not hasattr(secret, "__dict__")


def test_secrets_are_values() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    for same in (pickle.loads(pickle.dumps(Secret("a"))), copy.deepcopy(Secret("a"))):
        assert same == Secret("a")
    config = GatewayConfig.resolve(api_key="k", feature="f")
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(copy.copy(config))
