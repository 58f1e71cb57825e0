"""How a model object comes to its transport, and what of it travels with copies and pickles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)

from kilocode_gateway import errors, hidden, wire
from kilocode_gateway.config import GatewayConfig
from kilocode_gateway.transport import Transport
from langchain_kilocode._settings import refuse_foreign_names
from langchain_kilocode.errors import (
    LANGCHAIN_ERRORS,
    ConfigurationError,
    UnknownSettingError,
    as_langchain,
    told_to_langchain,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

LIVE = ("http_client", "http_async_client", "rate_limiter", "cache", "callbacks")
"""Fields that hold connections, locks or what this process remembers: a pickle leaves them out, a deep copy shares
them."""


class Memory:
    """What a model object keeps beside its settings. A copy or a pickle begins with an empty one."""

    __slots__ = ("connection", "profile")

    def __init__(self) -> None:
        self.connection: tuple[tuple[Any, ...], Transport] | None = None
        self.profile: tuple[str, GatewayConfig, dict[str, Any]] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory)

    def __hash__(self) -> int:
        return hash(Memory)

    def __deepcopy__(self, memo: object) -> Memory:
        return Memory()

    def __reduce__(self) -> tuple[type[Memory], tuple[()]]:
        return (Memory, ())


class Connected(Protocol):
    """The settings that say how to reach the gateway."""

    api_key: SecretStr | str | Callable[[], str] | None
    base_url: str | None
    organization_id: str | None
    feature: str | None
    request_timeout: Any
    max_retries: int | None
    default_headers: Mapping[str, str] | None
    http_client: Any
    http_async_client: Any


@told_to_langchain
def hide_secrets(settings: MutableMapping[str, Any]) -> None:
    """Put the key of these settings into a `SecretStr`, and hide the headers' values, before anything can show them.

    Raises:
        ConfigurationError: If the key is no string, or the headers cannot be sent.

    """
    hidden.hide_secrets(settings, SecretStr)


def _hidden(headers: Mapping[str, str]) -> dict[str, str]:
    return hidden.hidden_headers(headers)[0]


Headers = Annotated[Mapping[str, str], AfterValidator(_hidden)]
"""Headers whose values do not show. What pydantic takes from them are plain texts."""


def connection(model: Connected, memory: Memory) -> Transport:
    """Give the transport for the settings as they are now; the same one as long as they stay the same.

    Raises:
        ConfigurationError: If one of them cannot be used.

    """
    headers = model.default_headers
    settings = (
        model.api_key,
        model.base_url,
        model.organization_id,
        model.feature,
        model.request_timeout,
        model.max_retries,
        model.http_client,
        model.http_async_client,
        dict(headers) if headers else None,
    )
    known = memory.connection
    if known is not None and known[0] == settings:
        return known[1]
    transport = Transport(
        GatewayConfig.resolve(
            api_key=model.api_key, base_url=model.base_url, organization_id=model.organization_id, feature=model.feature
        ),
        timeout=model.request_timeout,
        max_retries=2 if model.max_retries is None else model.max_retries,
        errors=LANGCHAIN_ERRORS,
        http_client=model.http_client,
        http_async_client=model.http_async_client,
        headers=headers,
    )
    memory.connection = (settings, transport)
    return transport


def without_connections(state: dict[Any, Any]) -> dict[Any, Any]:
    """Take out of a pickle's state what cannot travel."""
    fields = {
        # Whether to use the cache of everybody is a setting like others.
        name: None if name in LIVE and not isinstance(value, bool) else value
        for name, value in state["__dict__"].items()
        if name != "_serialized"
    }
    return {**state, "__dict__": fields}


def shared_in_copies(fields: dict[str, Any], memo: dict[int, Any] | None) -> dict[int, Any]:
    """Make a deep copy share what cannot be copied."""
    memo = {} if memo is None else memo
    for name in (*LIVE, "api_key"):
        value = fields.get(name)
        memo.update({id(item): item for item in (value if isinstance(value, list) else [value])})
    return memo


if TYPE_CHECKING:
    _Model = BaseModel
else:
    _Model = object


class Carried(_Model):
    """How an object on the gateway is made, connected, copied and pickled, without its key showing.

    It stands before a pydantic class among the bases of a class that has the settings of `Connected`.
    """

    if TYPE_CHECKING:
        _memory: Memory
    else:

        def __init__(self, *args: Any, **settings: Any) -> None:
            """Hide the secrets first: a traceback with local variables shows each further call on the way."""
            hide_secrets(settings)
            try:
                super().__init__(*args, **settings)
            except ValidationError as exc:
                further = settings.get("model_kwargs") or {}  # a dict, else its error would be another
                error: Exception = _misfit(type(self).__name__, exc, {**settings, **further})
            except errors.ConfigurationError as exc:
                error = as_langchain(exc)
            else:
                return
            raise error

    @told_to_langchain
    def _transport(self) -> Transport:
        """Give the transport for the settings as they are now."""
        return connection(cast("Connected", self), self._memory)

    @property
    def gateway_config(self) -> GatewayConfig:
        """Where requests go and who asks, with the environment read. Its repr hides the key."""
        return self._transport().config

    def __copy__(self) -> Self:
        copied = super().__copy__()
        # Like every assignment, this also forgets the serialized form that langchain-core keeps of a language model.
        copied._memory = Memory()  # noqa: SLF001 - of the same class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(shared_in_copies(self.__dict__, memo))
        copied.__dict__.pop("_serialized", None)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        return without_connections(super().__getstate__())


def _misfit(name: str, error: ValidationError, settings: Mapping[str, Any]) -> ConfigurationError:
    """Say what is wrong with each setting of a class, without what may be a secret."""
    return ConfigurationError(f"{name} cannot take these settings: {wire.misfits(error.errors(), settings)}.")


class OnGateway(Carried, BaseModel):
    """A class's settings that say how to reach the gateway, and what of an object travels with copies and pickles.

    For the classes that are no chat models; those have the settings of langchain-openai to reckon with. An unknown name
    is refused, in the constructor and in `model_copy`.
    """

    model_config = ConfigDict(populate_by_name=True, arbitrary_types_allowed=True, protected_namespaces=())

    api_key: SecretStr | str | Callable[[], str] | None = None
    """The gateway's key, kept as a `SecretStr`; or a function that gives it, asked for each request, so it should be
    quick. Without one: `KILOCODE_API_KEY`, then `KILO_API_KEY`."""
    base_url: str | None = None
    """The gateway's address. Without one: `KILOCODE_BASE_URL`, then `https://api.kilo.ai/api/gateway/`."""
    organization_id: str | None = None
    """The organization that is billed. Without one: `KILOCODE_ORGANIZATION_ID`, then `KILO_ORG_ID`."""
    feature: str | None = None
    """What the gateway's usage page calls this program. Without one: `KILOCODE_FEATURE`."""
    request_timeout: Any = Field(default=600.0, alias="timeout")
    """Seconds for each read, a pair (connect, read), an httpx `Timeout`, or None for no limit."""
    max_retries: int | None = 2
    """Attempts after the first, for errors that may pass."""
    default_headers: Headers | None = Field(default=None, exclude=True, repr=False)
    """Further headers for each request. They may hold secrets, so they are neither shown nor serialized."""
    http_client: Any = Field(default=None, exclude=True, repr=False)
    """A client of httpx or httpx2 to use instead of the shared one. It is never closed here."""
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """The same for async calls."""

    _memory: Memory = PrivateAttr(default_factory=Memory)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, values: dict[str, Any]) -> Any:
        values = dict(values)
        hide_secrets(values)
        cls._refuse_unknown_names(values)
        cls._check_values(values)
        return values

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        self._transport()
        return self

    def model_post_init(self, context: Any, /) -> None:
        """Hand on to the next class: pydantic's own, for a class with private attributes, does not."""
        super().model_post_init(context)

    @classmethod
    def _refuse_unknown_names(cls, given: Iterable[str]) -> None:
        refuse_foreign_names(given, where=cls.__name__)
        known = {*cls.model_fields, *cls._by_alias()}
        for name in given:
            if name not in known:
                near = wire.nearest_name(name, known)
                hint = f" Did you mean {near!r}?" if near else ""
                further = " What only the gateway knows goes into extra_body." if "extra_body" in known else ""
                msg = f"{cls.__name__} has no setting {name!r}.{hint}{further}"
                raise UnknownSettingError(msg)

    @classmethod
    def _check_values(cls, given: Mapping[str, Any]) -> None:
        """Refuse values that the class cannot use, before pydantic sees them. Each class says which."""

    @classmethod
    def _by_alias(cls) -> dict[str, str]:
        return {field.alias: name for name, field in cls.model_fields.items() if field.alias is not None}

    def __setattr__(self, name: str, value: Any) -> None:
        # langchain-core keeps the serialized form of a language model.
        self.__dict__.pop("_serialized", None)
        if name in hidden.SECRETS:
            settings, value = {name: value}, None
            hide_secrets(settings)
            value = settings[name]
        self._check_values({name: value})
        super().__setattr__(self._by_alias().get(name, name), value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Give a copy with some settings changed, under either of their names.

        Raises:
            UnknownSettingError: If a name is none of the class's settings.

        """
        aliases = self._by_alias()
        changes = {aliases.get(name, name): value for name, value in (update or {}).items()}
        update = None  # it may hold the key, which no traceback should show
        hide_secrets(changes)
        self._refuse_unknown_names(changes)
        self._check_values(changes)
        return super().model_copy(update=changes, deep=deep)
