"""Talks to the gateway: dicts in, answers out, sync and async, whole and streamed.

Chat, embeddings and the command line all go through here; `Transport._plan` is the one function that decides what is
sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kilocode_gateway import usage, wire
from kilocode_gateway.bodies import read_payload
from kilocode_gateway.catalog import Catalog
from kilocode_gateway.encoding import encoded
from kilocode_gateway.error_texts import Context, advise_key
from kilocode_gateway.errors import (
    ERRORS,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ErrorTable,
    KiloCodeError,
    MalformedReplyError,
    ModelNotFoundError,
    of_table,
)
from kilocode_gateway.fallbacks import another_may_help, told
from kilocode_gateway.hidden import hidden_headers, key_in, secrets_in
from kilocode_gateway.http import Call, aopen_answer, open_answer
from kilocode_gateway.inputs import alook, check_inputs, look
from kilocode_gateway.models import SUCCESSORS, parse_model_ref
from kilocode_gateway.options import CallOptions, checked_headers, without_options
from kilocode_gateway.policy import Deadline, RetryPolicy, timeouts_of
from kilocode_gateway.streams import AsyncStream, Stream, count_lost, forget_frames, read_body
from kilocode_gateway.wire.embeddings import embeddings_body, read_vectors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from kilocode_gateway.answers import AsyncOpenAnswer, OpenAnswer
    from kilocode_gateway.config import GatewayConfig

    _Plan = Generator["Call", Any, Any]
    """Gives calls, is told what each came to (an answer or an error), and ends with what counts."""

T = TypeVar("T")

_log = logging.getLogger("kilocode_gateway")

CHAT = "chat/completions"
EMBEDDINGS = "embeddings"
FIM = "/api/fim/completions"
"""What fills a gap in code: outside the gateway's base, on its host, and never without a key (server source, 2026)."""

_ABOUT: dict[str, Literal["embeddings", "fim"]] = {EMBEDDINGS: "embeddings", FIM: "fim"}
"""What a path other than the chat's is about."""

_renamed: set[tuple[str, str]] = set()
"""(base URL, id): where the gateway knows an id only under its new name. What is true of a gateway stays true."""


class Transport:
    """Sends requests to one gateway for one user.

    Making one costs nothing: no connection, no file, no request. Any number of threads and event loops may use it.

    Args:
        config: The gateway and who asks.
        timeout: Seconds for each read (default 600), a pair (connect, read), a `Timeout` of httpx or httpx2, or None.
        max_retries: Attempts after the first, for errors that may pass (default 2).
        errors: The classes to raise.
        http_client: A client of httpx or httpx2 to use instead of the shared one. It is never closed here.
        http_async_client: The same for async calls.
        headers: Further headers for each request. The gateway's own, from `config`, win over them.

    Raises:
        ConfigurationError: If a setting cannot be used.

    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        timeout: object = 600.0,
        max_retries: int = 2,
        errors: ErrorTable = ERRORS,
        http_client: Any = None,
        http_async_client: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # Hidden or gone before anything is raised: a traceback that shows local variables shows no header.
        headers, wrong = hidden_headers(headers or {})
        if wrong:
            raise ConfigurationError(wrong)
        if type(max_retries) is not int or max_retries < 0:
            msg = f"max_retries must be a whole number from 0, got {max_retries!r}."
            raise ConfigurationError(msg)
        self.config = config
        self.errors = errors
        self._timeouts = timeouts_of(timeout)
        self._policy = RetryPolicy(max_retries=max_retries)
        self._client = http_client
        self._async_client = http_async_client
        self._headers = checked_headers(headers)
        self._has_key = config.api_key is not None or key_in(self._headers) is not None

    def complete(self, body: Mapping[str, Any]) -> wire.Completion:
        """Ask for one whole answer.

        Args:
            body: The request: `model` as the user wrote it, `messages`, parameters, `extra_body`, and the call's
                options (`wire.OPTIONS`), which are not sent.

        Raises:
            KiloCodeError: Of the class that the error table names.

        """
        return self.completions(body)[0]

    async def acomplete(self, body: Mapping[str, Any]) -> wire.Completion:
        """Do what `complete` does, without blocking the event loop."""
        return (await self.acompletions(body))[0]

    def completions(self, body: Mapping[str, Any], *, path: str = CHAT) -> list[wire.Completion]:
        """Ask for whole answers: as many as `n` says. The usage stands with the first.

        Args:
            body: As for `complete`; for `FIM`, what `wire.fim.fim_body` gives.
            path: `CHAT` or `FIM`.

        """

        def read(opened: OpenAnswer) -> list[wire.Completion]:
            try:
                data = opened.read()
            except KiloCodeError:
                count_lost(opened)
                raise
            return read_body(data, opened, body["model"])

        look(body, self.config, self._client)
        return self._run(self._plan(path, body), read)

    async def acompletions(self, body: Mapping[str, Any], *, path: str = CHAT) -> list[wire.Completion]:
        """Do what `completions` does, without blocking the event loop."""

        async def read(opened: AsyncOpenAnswer) -> list[wire.Completion]:
            try:
                data = await opened.read()
            except KiloCodeError:
                count_lost(opened)
                raise
            return read_body(data, opened, body["model"])

        await alook(body, self.config, self._async_client)
        return await self._arun(self._plan(path, body), read)

    def stream(self, body: Mapping[str, Any], *, path: str = CHAT) -> Stream:
        """Ask for an answer piece by piece.

        The request is sent now. The first bytes are here when this returns; with `fallback_models`, the first token.
        """

        def begin(opened: OpenAnswer) -> Stream:
            stream = Stream(opened, body["model"])
            if opened.context.may_fall_back:
                stream.begin()
            return stream

        look(body, self.config, self._client)
        return self._run(self._plan(path, body, stream=True), begin)

    async def astream(self, body: Mapping[str, Any], *, path: str = CHAT) -> AsyncStream:
        """Do what `stream` does, without blocking the event loop."""

        async def begin(opened: AsyncOpenAnswer) -> AsyncStream:
            stream = AsyncStream(opened, body["model"])
            if opened.context.may_fall_back:
                await stream.begin()
            return stream

        await alook(body, self.config, self._async_client)
        return await self._arun(self._plan(path, body, stream=True), begin)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask for anything else that answers with a JSON object, such as embeddings or the balance.

        Args:
            method: The HTTP method.
            path: Below the base address, or with a leading slash on its host.
            body: Sent as JSON. A `model` in it may be any reference form.

        """
        return self._run(
            self._plan(path, body, method=method),
            lambda opened: self._recorded(read_payload(opened.read(), opened), body),
        )

    async def arequest(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Do what `request` does, without blocking the event loop."""

        async def read(opened: AsyncOpenAnswer) -> dict[str, Any]:
            return self._recorded(read_payload(await opened.read(), opened), body)

        return await self._arun(self._plan(path, body, method=method), read)

    def embed(self, texts: list[str], *, model: str, settings: Mapping[str, Any] | None = None) -> list[list[float]]:
        """Ask for the vectors of some texts, in one request.

        Args:
            texts: The texts.
            model: The embedding model, in any reference form.
            settings: Further fields of the request, such as `dimensions`; None leaves one out.

        Raises:
            MalformedReplyError: If there is not one vector for each text in the answer.

        """
        reply = self.request("POST", EMBEDDINGS, embeddings_body(model, texts, settings or {}))
        return self._vectors(reply, texts, model)

    async def aembed(
        self, texts: list[str], *, model: str, settings: Mapping[str, Any] | None = None
    ) -> list[list[float]]:
        """Do what `embed` does, without blocking the event loop."""
        reply = await self.arequest("POST", EMBEDDINGS, embeddings_body(model, texts, settings or {}))
        return self._vectors(reply, texts, model)

    def _vectors(self, reply: dict[str, Any], texts: list[str], model: str) -> list[list[float]]:
        try:
            return read_vectors(reply, len(texts))
        except ValueError as exc:
            reason = str(exc)
        msg = (
            f"The answer of {self.config.url(EMBEDDINGS)} holds {reason}. Choose another embedding model, or try again."
        )
        raise self.errors.get(MalformedReplyError, MalformedReplyError)(msg, model=model)

    def _run(self, plan: _Plan, read: Callable[[OpenAnswer], T]) -> T:
        """Carry a plan out. An error of an answer that had begun to arrive is told to the plan like any other."""
        outcome: Any = None
        while True:
            call, done = _advance(plan, outcome, self.errors)
            if call is None:
                break
            outcome = open_answer(call, self._policy, self._client)
            if not isinstance(outcome, KiloCodeError):
                try:
                    outcome = read(outcome)
                except KiloCodeError as exc:
                    outcome = forget_frames(exc)
        if isinstance(done, KiloCodeError):
            raise done
        return done  # type: ignore[no-any-return]  # the plan gives back what it was told

    async def _arun(self, plan: _Plan, read: Callable[[AsyncOpenAnswer], Awaitable[T]]) -> T:
        """Do what `_run` does, without blocking the event loop."""
        outcome: Any = None
        while True:
            call, done = _advance(plan, outcome, self.errors)
            if call is None:
                break
            outcome = await aopen_answer(call, self._policy, self._async_client)
            if not isinstance(outcome, KiloCodeError):
                try:
                    outcome = await read(outcome)
                except KiloCodeError as exc:
                    outcome = forget_frames(exc)
        if isinstance(done, KiloCodeError):
            raise done
        return done  # type: ignore[no-any-return]  # the plan gives back what it was told

    def _plan(self, path: str, body: Mapping[str, Any] | None, *, method: str = "POST", stream: bool = False) -> _Plan:
        """Decide what is sent, without doing any I/O: the model that was asked for, then those that stand in for it."""
        if body is None or ("model" not in body and path != CHAT):
            return (yield self._call(_Request(method, path, body), model=None))
        options = CallOptions.read(body)
        deadline = options.deadline(stream=stream)
        if stream and body.get("n") not in (None, 1):
            msg = f"A stream has one answer, so n must be 1 or left out, got {body['n']!r}."
            raise self.errors.get(ConfigurationError, ConfigurationError)(msg)
        request = _Request(method, path, without_options(body), options, deadline, stream=stream)
        models = (request.model, *options.fallback_models)
        if path == CHAT and options.check_inputs:
            refused = self.errors.get(ConfigurationError, ConfigurationError)
            check_inputs(body, models, Catalog.at_hand(self.config), refused)
        failed: list[dict[str, Any]] = []
        for position, model in enumerate(models, start=1):
            request.failed, request.may_fall_back = tuple(failed), position < len(models)
            try:
                outcome = yield from self._ask(request, model)
            except KiloCodeError as exc:
                exc.with_failed_models(failed)
                raise
            if not request.may_fall_back or deadline.is_over or not another_may_help(outcome, begun=not stream):
                break
            failed.append(told(outcome))
            _log.warning("The model %r failed (%s): %r is asked instead.", model, failed[-1]["error"], models[position])
        return outcome.with_failed_models(failed) if isinstance(outcome, KiloCodeError) else outcome

    def _ask(self, request: _Request, reference: str) -> _Plan:
        """Ask one model.

        `kilo/auto` and its kin have been renamed on newer gateways. What this gateway's own model list says decides;
        where it says nothing the old name is sent, and the new one after a model-not-found answer.
        """
        catalog = Catalog.at_hand(self.config)
        wanted = parse_model_ref(reference)
        model = self._known_as(wanted, catalog)
        self._check_paid(request.path, model, catalog)
        usage.check_budget(self.errors.get(BudgetExceededError, BudgetExceededError))
        outcome = yield self._call(request, model=model, reference=reference, catalog=catalog)
        if wanted not in SUCCESSORS or not _is_unknown(outcome):
            return outcome
        # What was known of this gateway's names was wrong, or nothing was: the other name is tried once.
        other = wanted if model != wanted else SUCCESSORS[wanted]
        outcome = yield self._call(request, model=other, reference=reference, catalog=catalog, warn=False)
        if not _is_unknown(outcome):
            (_renamed.discard if other == wanted else _renamed.add)((self.config.base_url, wanted))
        return outcome

    def _known_as(self, model: str, catalog: Catalog) -> str:
        successor = SUCCESSORS.get(model)
        if successor is None or catalog.is_discovered(model):
            return model
        renamed = catalog.is_discovered(successor) or (self.config.base_url, model) in _renamed
        return successor if renamed else model

    def _check_paid(self, path: str, model: str, catalog: Catalog) -> None:
        """Refuse, before anything is sent, what the public gateway would refuse: a paid model without a key."""
        if self._has_key or not self.config.is_default_origin:
            return
        info = catalog.get(model)
        if path == FIM:
            why = "fills gaps only for those who sign in, and"
        elif info is not None and info.is_paid:
            why = "costs money and"
        else:
            return
        advice = advise_key(_ABOUT.get(path, "chat"))
        msg = f"The model {model!r} {why} no API key is set, so nothing was sent. {advice}"
        raise self.errors.get(AuthenticationError, AuthenticationError)(msg, model=model)

    def _call(
        self,
        request: _Request,
        *,
        model: str | None,
        reference: str | None = None,
        catalog: Catalog | None = None,
        warn: bool = True,
    ) -> Call:
        url, path, body = self.config.url(request.path), request.path, request.body
        content = None
        headers = self.config.headers(request.options.headers(self._headers))
        if body is not None:
            shaped = body
            if model is not None:
                if path == CHAT:
                    shaped = wire.shape(body, model=model, stream=request.stream, warn=warn)
                else:
                    shaped = {**body, "model": model, **({"stream": True} if request.stream else {})}
            content = encoded(shaped)
            headers["Content-Type"] = "application/json"
        context = Context(
            url=url,
            model=model,
            authenticated=key_in(headers) is not None,
            errors=self.errors,
            requested=reference,
            about=_ABOUT.get(path, "chat"),
            key_source="came from the environment" if self.config.api_key_from_env else "was given as api_key",
            suggest=catalog.nearest if catalog is not None and path != FIM else None,
            limits=self._timeouts,
            deadline=request.deadline,
            failed=request.failed,
            may_fall_back=request.may_fall_back,
            secrets=secrets_in(headers),
        )
        return Call(request.method, url, headers, content, self._timeouts, context)

    def _recorded(self, payload: dict[str, Any], body: Mapping[str, Any] | None) -> dict[str, Any]:
        used = wire.Usage.read(payload.get("usage"))
        if body is not None and "model" in body:
            usage.record(str(payload.get("model") or body["model"]), used)
        return payload


@dataclass(slots=True)
class _Request:
    """What a plan is about to send, to one model after the other."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    options: CallOptions = field(default_factory=CallOptions)
    deadline: Deadline = field(default_factory=Deadline)
    stream: bool = False
    failed: tuple[dict[str, Any], ...] = ()
    """What is told of the models before this one."""
    may_fall_back: bool = False
    """Whether another model stands ready."""

    @property
    def model(self) -> str:
        """The model as the user wrote it."""
        return (self.body or {}).get("model", "")  # type: ignore[no-any-return]  # checked where it is parsed


def _advance(plan: _Plan, outcome: object, errors: ErrorTable) -> tuple[Call | None, Any]:
    try:
        return plan.send(outcome), None  # None begins the plan
    except StopIteration as end:
        return None, end.value
    except ConfigurationError as exc:
        return None, of_table(exc, errors)


def _is_unknown(outcome: object) -> bool:
    return isinstance(outcome, ModelNotFoundError) and outcome.details.get("reason") == "unknown"
