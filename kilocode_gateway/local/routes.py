"""Which path answers what, and the checks that a request passes, in the gateway's own order, in both dialects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from kilocode_gateway.local import fim, vectors
from kilocode_gateway.local.answerer import answer
from kilocode_gateway.local.chat import Envelope, dump
from kilocode_gateway.local.faults import Rendered
from kilocode_gateway.local.metering import Meter
from kilocode_gateway.local.model_list import (
    ELDER,
    EMBEDDING_MODELS,
    ENDED,
    FAMILY,
    LEGACY,
    MODELS,
    embedding_catalog,
    is_free,
    resolve,
)
from kilocode_gateway.local.reply import JSON, Context, Reply, render_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kilocode_gateway.local.chat import Answer
    from kilocode_gateway.local.recorded import RecordedRequest

Dialect = Literal["newest", "february"]
BASES = ("/api/gateway/", "/api/openrouter/")
_MOST_TOKENS = 99_999_999_999
_FREE = "stepfun/step-3.7-flash:free"
_USER = {"id": "00000000-0000-4000-8000-000000000001", "email": "user@example.com", "name": "Local User", "image": None}
_ORGANIZATION = {"id": "00000000-0000-4000-8000-000000000002", "name": "Local", "role": "owner"}


class Refusal(Exception):  # noqa: N818 - it ends a check with a reply, and is no failure of the program
    """A check was not passed; what it answers."""

    def __init__(self, reply: Rendered) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(slots=True)
class Gateway:
    """The behaviour behind the socket: what it offers and whom it lets in."""

    dialect: Dialect = "newest"
    api_keys: frozenset[str] | None = None
    """The keys that count; None: any."""
    balance: float = 25.0
    """US dollars on the account; at 0 or below paid models answer 402."""
    models: Sequence[Mapping[str, Any]] | None = None
    """Entries instead of its own."""
    meter: Meter = field(default_factory=Meter)
    entries: list[Any] = field(init=False)
    by_id: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        own = [*(FAMILY if self.newest else ELDER), *MODELS]
        self.entries = own if self.models is None else list(self.models)
        listed = [entry for entry in self.entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        self.by_id = {entry["id"].strip().lower(): entry for entry in reversed(listed)}

    @property
    def newest(self) -> bool:
        """Whether it speaks like the newest gateway."""
        return self.dialect == "newest"

    @property
    def comment(self) -> str:
        """What its keep-alive comments say."""
        return "KILO PROCESSING" if self.newest else "OPENROUTER PROCESSING"

    def relative(self, path: str) -> str | None:
        """Give a path below the gateway's base, or None for one outside it."""
        for base in BASES:
            if path.startswith(base):
                rest = path.removeprefix(base)
                return rest.removeprefix("v1/") if self.newest else rest
        return None

    def reply(self, request: RecordedRequest) -> Rendered:
        """Answer a request."""
        try:
            path = self.relative(request.path)
            return self._outside(request) if path is None else self._inside(request, path)
        except Refusal as refusal:
            return refusal.reply

    def context(self, request: RecordedRequest) -> Context:
        """Give what a scripted reply is rendered for; whatever is wrong with the request does not matter."""
        try:
            body = json.loads(request.body) if request.body else {}
        except ValueError:
            body = {}
        body = body if isinstance(body, dict) else {}
        if request.path == fim.PATH:
            return fim.context(body, self.comment)
        model = body.get("model")
        return self._context(
            body, resolve(model, request.headers.get("x-kilocode-mode")) if isinstance(model, str) else ""
        )

    def _context(self, body: dict[str, Any], model: str) -> Context:
        entry = self.by_id.get(model.lower())
        usage = self.meter.usage(body, entry)
        choices = body.get("n")
        envelope = Envelope(model, "LocalProvider", usage, choices if isinstance(choices, int) and choices > 0 else 1)

        def count(found: Answer) -> None:
            self.meter.count(usage, found, entry, choices=envelope.choices)

        return Context(body.get("stream") is True, envelope, self.comment, count)

    def _inside(self, request: RecordedRequest, path: str) -> Rendered:
        if request.method == "POST":
            return self._post(request, path)
        if request.method == "OPTIONS":
            return Rendered(204)
        if request.method in ("GET", "HEAD"):
            if path == "models":
                return json_reply({"data": self._listed(request)}, cache_control="public, s-maxage=60")
            if self.newest and path == "embedding-models":
                return json_reply(embedding_catalog())
            if self.newest and path.startswith("models/") and path.endswith("/endpoints"):
                return self._endpoints(path.removeprefix("models/").removesuffix("/endpoints"))
        return self._error("empty_405")

    def _post(self, request: RecordedRequest, path: str) -> Rendered:
        if path == "chat/completions":
            return self._chat(request)
        if path == "embeddings" and self.newest:
            return self._embed(request)
        return Rendered(405, {}, [b"Method Not Allowed"]) if path == "models" else self._error("invalid_path")

    def _outside(self, request: RecordedRequest) -> Rendered:
        path, known = request.path, self._known(request.key)
        if request.method == "POST" and path == fim.PATH:
            return self._fill(request)
        if request.method != "GET":
            return self._error("empty_405")
        if path == "/api/defaults":
            paid = "kilo-auto/balanced" if self.newest else "anthropic/claude-sonnet-4.6"
            return json_reply({"defaultModel": paid if known else _FREE, "defaultFreeModel": _FREE})
        bodies: dict[str, Any] = {
            "/api/profile": {"user": _USER, "organizations": [_ORGANIZATION]},
            "/api/profile/balance": {"balance": self.balance, "isDepleted": self.balance <= 0},
        }
        if path.startswith("/api/organizations/") and path.endswith("/models"):
            bodies[path] = {"data": self._listed(request)}
        if path not in bodies:
            return Rendered(404, {"content-type": "text/html; charset=utf-8"}, [b"<html><body>404</body></html>"])
        return json_reply(bodies[path]) if known else self._error("success_false_401")

    def _fill(self, request: RecordedRequest) -> Rendered:
        self._require(self._known(request.key), "success_false_401")
        body = fim.read(request.body)
        if body is None:
            raise Refusal(self._error("invalid_json_400"))
        if (refused := fim.refusal(body["model"], newest=self.newest)) is not None:
            raise Refusal(json_reply(refused, 400))
        self._require(fim.allows(body.get("max_tokens")), "service_unavailable_503")
        self._require(self.balance > 0, "insufficient_credits")
        return render_answer(fim.answer(body), fim.context(body, self.comment))

    def _listed(self, request: RecordedRequest) -> list[Any]:
        if self.newest and self.models is None and self._known(request.key):
            return [{**entry, "hasUserByokAvailable": False} for entry in self.entries]
        return self.entries

    def _endpoints(self, id_: str) -> Rendered:
        entry = self.by_id.get(unquote(id_).lower())
        if entry is None:
            return json_reply({"error": {"message": "Not Found", "code": 404}}, 404)
        top, pricing = entry.get("top_provider") or {}, entry.get("pricing") or {}
        endpoint = {
            "name": f"LocalProvider | {entry['id']}",
            "tag": "local",
            "provider_name": "LocalProvider",
            "quantization": None,
            "context_length": entry.get("context_length"),
            "max_completion_tokens": top.get("max_completion_tokens"),
            "pricing": {
                name: pricing[name]
                for name in ("prompt", "completion", "input_cache_read", "input_cache_write")
                if name in pricing
            },
            "uptime_last_30m": 100,
        }
        return json_reply({"data": {"id": entry["id"], "name": entry.get("name"), "endpoints": [endpoint]}})

    def _error(self, name: str) -> Rendered:
        """Give an error in this dialect: the February one has no error_type."""
        form = Reply.error_form(name)
        body = form.body
        if not self.newest and isinstance(body, dict):
            body = {part: value for part, value in body.items() if part != "error_type"}
        data = body if isinstance(body, str) else dump(body)
        return Rendered(form.status, dict(form.headers), [data.encode()] if data else [])

    def _require(self, condition: object, name: str) -> None:
        if not condition:
            raise Refusal(self._error(name))

    def _known(self, key: str | None) -> bool:
        return key is not None and (self.api_keys is None or key in self.api_keys)

    def _body(self, request: RecordedRequest) -> dict[str, Any]:
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            body = None
        self._require(isinstance(body, dict), "malformed_json" if self.newest else "invalid_json_400")
        found: dict[str, Any] = body
        self._require(not (self.newest and "providerOptions" in found), "unsupported_field")
        model = found.get("model")
        self._require(isinstance(model, str) and model.strip(), "model_not_found_feb")
        return found

    def _admit(self, request: RecordedRequest, *, free: bool) -> None:
        """Check the key. The elder gateway takes a bad one for none, the newest refuses it even for a free model."""
        key = request.key
        if key is not None and not self._known(key):
            self._require(not self.newest, "invalid_token")
            key = None
        self._require(key is not None or free, "paid_model_auth_required")

    def _chat(self, request: RecordedRequest) -> Rendered:
        body = self._body(request)
        self._require(isinstance(body.get("messages"), list), "invalid_request" if self.newest else "empty_500")
        asked = body["model"].strip().lower()
        entry = self.by_id.get(asked)
        free = is_free(entry, asked)
        given = body.get("provider")
        provider: dict[str, Any] = given if isinstance(given, dict) else {}
        self._require(provider.get("data_collection") in (None, "allow", "deny"), "invalid_request")
        self._admit(request, free=free)
        limit = body.get("max_tokens", body.get("max_completion_tokens"))
        self._require(not (isinstance(limit, (int, float)) and limit > _MOST_TOKENS), "service_unavailable_503")
        self._require(asked not in ENDED, "alpha_ended")
        self._require(free or self.balance > 0, "credit_402_paid_before")
        denies = provider.get("data_collection") == "deny" or provider.get("zdr") is True
        self._require(not (denies and free), "data_collection_required")
        if entry is None and not (self.newest and asked in LEGACY):
            raise Refusal(self._unknown(body["model"]))
        return self._upstream(request, body, entry)

    def _unknown(self, model: str) -> Rendered:
        if self.newest:
            text = f"The model {model} does not exist. Use an exact id of those listed at /models."
            return json_reply(
                {"error": text, "error_type": "model_not_found", "message": "The requested model could not be found."},
                404,
            )
        return json_reply(
            {"error": {"message": f"{model} is not a valid model ID", "code": 400}, "user_id": "org_local"}, 400
        )

    def _upstream(self, request: RecordedRequest, body: dict[str, Any], entry: dict[str, Any] | None) -> Rendered:
        """Answer as the model behind the gateway would."""
        problem = _malformed(body["messages"])
        if problem:
            raise Refusal(json_reply({"error": {"message": problem, "code": 400}, "user_id": "org_local"}, 400))
        served = resolve(entry["id"] if entry else body["model"].strip(), request.headers.get("x-kilocode-mode"))
        context = self._context(body, served)
        window = (entry or {}).get("context_length")
        if isinstance(window, int) and context.envelope.usage["prompt_tokens"] > window:
            raise Refusal(self._error("context_length_exceeded" if self.newest else "context_length_upstream"))
        found = answer(body, supports=_supports(self.by_id.get(served.lower(), entry)))
        return render_answer(found, context)

    def _embed(self, request: RecordedRequest) -> Rendered:
        body = self._body(request)
        texts = vectors.read_input(body.get("input"))
        self._require(body.get("input") is not None, "invalid_request")
        self._admit(request, free=False)
        self._require(self.balance > 0, "credit_402_paid_before")
        model = body["model"].strip()
        if model not in EMBEDDING_MODELS:
            raise Refusal(self._unknown(model))
        if not texts:
            raise Refusal(
                json_reply(
                    {
                        "error": {"message": "input: expected a text or a list of texts", "code": 400},
                        "user_id": "org_local",
                    },
                    400,
                )
            )
        dimension, selectable = EMBEDDING_MODELS[model]
        wanted = body.get("dimensions", dimension)
        fits = (
            isinstance(wanted, int)
            and not isinstance(wanted, bool)
            and (1 <= wanted <= dimension if selectable else wanted == dimension)
        )
        if not fits:
            most = f"lower it to at most {dimension}" if selectable else f"set it to {dimension}"
            text = f"Remove dimensions, or {most}: {model} gives {dimension}."
            error = {"message": text, "type": "invalid_request_error", "param": "dimensions", "code": None}
            raise Refusal(json_reply({"error": error}, 400))
        return json_reply(vectors.reply(model, texts, wanted, base64=body.get("encoding_format") == "base64"))


def json_reply(body: Any, status: int = 200, **headers: str) -> Rendered:
    """Make a JSON reply."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Rendered(status, {**JSON, **named}, [dump(body).encode()])


def _malformed(messages: Iterable[Any]) -> str | None:
    """Say what an upstream would refuse in the messages, or None."""
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in (
            "system",
            "developer",
            "user",
            "assistant",
            "tool",
            "function",
        ):
            return f"messages[{index}]: expected an object with a role of system, user, assistant or tool"
    return None


def _supports(entry: Mapping[str, Any] | None) -> frozenset[str]:
    """List what a model can do; one that lists nothing is taken to do everything."""
    listed = (entry or {}).get("supported_parameters")
    return frozenset(listed) if listed else frozenset({"tools", "reasoning", "response_format"})
