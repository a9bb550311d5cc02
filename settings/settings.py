"""What the operator may choose, and reading it from the environment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from settings.values import (
    Address,
    ApiKeys,
    Authority,
    ConnectionString,
    Guid,
    Guids,
    Names,
    Networks,
    Origins,
    QueueAddress,
    RedisAddress,
    is_loopback,
)

# Azure's front end ends an answer at 230 s, and the host restarts the worker at its timeout, which ends all turns there.
LONGEST_ON_AZURE = 220.0
ROOT = Path(__file__).parents[1]
ModelKind = Literal["azure", "openai", "offline"]
S = TypeVar("S", bound=BaseSettings)


class SettingsError(Exception):
    """The environment does not make a usable configuration; the text names the variables, and so does ``variables``."""

    def __init__(self, text: str, *, variables: Iterable[str] = ()) -> None:
        super().__init__(text)
        self.variables = tuple(variables)


class Settings(BaseSettings):
    """What the operator chose; see the table in README.md."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    assistant_dir: Annotated[Path, AfterValidator(lambda folder: ROOT / folder)] = Field(
        Path("assistant"), validate_default=True, description="folder of what makes the assistant yours, from the app's own on"
    )

    azure_openai_endpoint: Address | None = Field(None, description="Azure OpenAI resource, https://….openai.azure.com")
    azure_openai_model: str | None = Field(None, description="name of the Azure OpenAI deployment")
    azure_openai_api_key: SecretStr | None = Field(None, description="its key; not set: managed identity")
    openai_api_key: SecretStr | None = Field(None, description="key of an OpenAI-compatible server")
    openai_base_url: Address | None = Field(None, description="address of an OpenAI-compatible server, such as Ollama's")
    openai_model: str | None = Field(None, description="model on that server")
    model_api: Literal["chat", "responses"] = Field("chat", description="how the model is asked: Chat Completions or Responses")
    model_stream: Literal["on", "off"] = Field("on", description="off: the model is not asked to stream; text comes at the end")
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = Field(None, description="how much the model thinks")
    model_temperature: float | None = Field(None, ge=0, le=2, description="how freely it chooses its words")
    model_max_output_tokens: int | None = Field(None, ge=1, description="of an answer of it, thoughts included")
    offline_delay_ms: int = Field(0, ge=0, le=60_000, description="the offline model waits so long before each piece of text")
    model_timeout_seconds: float = Field(60, gt=0, le=600, description="deadline of one model call")

    cosmos_endpoint: Address | None = Field(None, description="Cosmos DB account; not set: SQLite in `DATA_DIR`")
    cosmos_database: str = Field("chat_db", min_length=1, description="Cosmos DB database")
    cosmos_key: SecretStr | None = Field(None, description="its key; not set: managed identity")
    history_cache_mb: int = Field(16, ge=0, le=4096, description="memory for the latest messages of threads; 0: none kept")
    data_dir: Path = Field(Path(".data"), description="folder of the SQLite file")
    retention_days: int = Field(0, ge=0, le=36_500, description="threads idle for so long are deleted; 0: never")

    turn_timeout_seconds: float = Field(120, gt=0, le=1800, description="deadline of a turn")
    batch_timeout_seconds: float = Field(200, gt=0, le=1800, description="deadline of a batch of questions")
    turn_lease_seconds: float = Field(30, ge=1, le=600, description="a crashed turn frees its thread after this")
    event_ttl_seconds: int = Field(3600, ge=0, le=86_400, description="how long turn events are kept; 0: not at all")
    turn_max_model_calls: int = Field(8, ge=2, le=100, description="model calls per turn")
    turn_max_tool_calls: int = Field(20, ge=0, le=200, description="tool calls per turn")
    approval_tools: Names = Field(
        (), description="tools that ask before they run, with commas, or *; beside those that do anyway"
    )
    approval_ttl_seconds: int = Field(86400, ge=1, le=2592000, description="how long a call may be approved")
    tool_timeout_seconds: float = Field(15, gt=0, le=600, description="deadline of one tool call")
    history_max_messages: int = Field(40, ge=0, le=1000, description="messages of history shown to the model")
    history_max_tokens: int = Field(16_000, ge=0, description="their estimated tokens at most (four bytes a token)")

    api_keys: ApiKeys = Field((), description="JSON list of {name, tenant, sha256, scopes, expires?}")
    entra_tenant_ids: Guids = Field((), description="tenants whose users may call")
    entra_audience: str | None = Field(None, description="the API's client id, or its application id URI")
    entra_client_id: Guid | None = Field(None, description="client id of the chat page's sign-in; not set: it has none")
    entra_required_permission: str | None = Field(None, description="scope or role that every token must have")
    entra_authority: Authority = Field("https://login.microsoftonline.com", description="issuer of the tokens")

    cors_origins: Origins = Field((), description="web origins that may call, with commas")

    trusted_proxies: Networks = Field(
        (), description="addresses or networks of your proxies, whose `X-Forwarded-For` is believed"
    )
    allow_anonymous_local: bool = Field(
        False, description="`function_app.py` outside Azure may serve this machine without sign-in"
    )

    limit_requests_per_minute: int = Field(0, ge=0, description="of an owner; 0: no limit")
    limit_turns_at_once: int = Field(0, ge=0, description="of an owner; 0: no limit")
    limit_streams_at_once: int = Field(0, ge=0, description="streamed answers and followers of an owner; 0: no limit")
    limit_tokens_per_day: int = Field(0, ge=0, description="of an owner (UTC day); 0: no limit")
    limit_threads: int = Field(0, ge=0, description="threads of an owner; 0: no limit")
    limit_messages_per_thread: int = Field(0, ge=0, description="a thread with so many takes no more; 0: no limit")
    tenant_limit_requests_per_minute: int = Field(0, ge=0, description="of a tenant; 0: no limit")
    tenant_limit_turns_at_once: int = Field(0, ge=0, description="of a tenant; 0: no limit")
    tenant_limit_tokens_per_day: int = Field(0, ge=0, description="of a tenant (UTC day); 0: no limit")
    redis_url: RedisAddress | None = Field(None, description="Redis that all instances share; not set: each for itself")
    process_max_turns: int = Field(256, ge=1, description="turns that run in one process; more are refused as busy")

    bot_app_id: Guid | None = Field(None, description="Bot Service: the bot's app id; not set: no bot")
    bot_tenant_id: Guid | None = Field(None, description="its tenant, whose users it answers")
    bot_certificate_path: Path | None = Field(None, description="its certificate with key; not set: managed identity")
    bot_client_secret: SecretStr | None = Field(None, description="its secret, where neither of the two is possible")
    bot_openid_metadata: Authority = Field(
        "https://login.botframework.com/v1/.well-known/openidconfiguration", description="who signs Bot Service's tokens"
    )
    bot_queue_url: QueueAddress | None = Field(None, description="Storage queue for accepted activities; needed on Azure")
    bot_retention_days: int = Field(
        0, ge=0, le=36_500, description="conversations of several people, idle for so long, are deleted; 0: as `RETENTION_DAYS`"
    )
    bot_sensitivity_label: str | None = Field(None, max_length=80, description="label shown on every answer in Teams")
    bot_cards: Literal["with_answer", "before_answer"] = Field("with_answer", description="when results are shown as cards")
    bot_stream_pace_seconds: float = Field(1.5, ge=1, le=30, description="between two looks of a growing message")
    bot_stream_chunk: int = Field(1, ge=1, le=4000, description="new characters with which it is shown again, at least")
    teams_local: bool = Field(False, description="a bot without sign-in for the Agents Playground, on this machine only")

    applicationinsights_connection_string: ConnectionString | None = Field(
        None, description="Application Insights, for telemetry"
    )
    applicationinsights_authentication_string: str | None = Field(
        None,
        pattern=r"^(ClientId=[0-9A-Fa-f-]{36};)?Authorization=AAD$",
        description="identity that may send it telemetry: `ClientId=…;Authorization=AAD`",
    )
    otel_exporter_otlp_endpoint: Address | None = Field(None, description="OTLP collector (HTTP), for telemetry")
    telemetry_hash_key: SecretStr | None = Field(
        None, min_length=32, description="hashes owners in telemetry; not set: a random one a process"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="which lines are logged")
    dev_mode: bool = Field(False, description="exceptions' texts in logs and problems, on this machine only; set by `make dev`")

    host: str = Field("127.0.0.1", min_length=1, description="address that the local server listens on")
    port: int = Field(7071, ge=0, le=65535, description="its port")
    website_site_name: str | None = Field(None, description="set by Azure: the embedded defaults are refused then")

    @model_validator(mode="before")
    @classmethod
    def _references_are_resolved(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, str) and value.startswith("@Microsoft.KeyVault("):
                raise ValueError(
                    f"{name.upper()}: its Key Vault reference could not be resolved. Is the secret there, has the app's "
                    "identity the role Key Vault Secrets User, and can the app reach the vault?"
                )
        return values

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        _check_consistency(self)
        return self

    @property
    def auth_configured(self) -> bool:
        """Whether callers can sign in; if not, only this machine is served."""
        return bool(self.api_keys or self.entra_tenant_ids)

    @property
    def has_bot(self) -> bool:
        """Whether activities of Bot Service, or of the Agents Playground, are answered."""
        return bool(self.bot_app_id) or self.teams_local

    @property
    def has_telemetry(self) -> bool:
        """Whether there is a place to send telemetry to."""
        return bool(self.applicationinsights_connection_string or self.otel_exporter_otlp_endpoint)

    @property
    def model_kind(self) -> ModelKind:
        """Which model answers; Azure OpenAI goes before any other."""
        if self.azure_openai_endpoint:
            return "azure"
        return "openai" if self.openai_api_key or self.openai_base_url else "offline"

    @property
    def model_name(self) -> str:
        """The model's name as callers see it in a message's metadata."""
        return {"azure": self.azure_openai_model, "openai": self.openai_model}.get(self.model_kind) or "offline"

    @property
    def bot_queue_name(self) -> str | None:
        """The queue's name in its address."""
        return urlsplit(self.bot_queue_url).path.rpartition("/")[2] if self.bot_queue_url else None

    @property
    def redis_takes_identity(self) -> bool:
        """Whether ``REDIS_URL`` is signed in to with the app's identity: on Azure, over TLS, where it holds no password."""
        address = urlsplit(self.redis_url.get_secret_value() if self.redis_url else "")
        return bool(self.website_site_name) and address.scheme == "rediss" and not address.password

    @property
    def serves_loopback_only(self) -> bool:
        """Whether ``HOST`` can be reached from this machine only."""
        return is_loopback(self.host)


def load_settings(env_file: Path | None = None) -> Settings:
    """Read the environment, and what it does not set from a file.

    :raises SettingsError: naming every variable whose value cannot be used.
    """
    return read_environment(Settings, env_file)


def read_environment(kind: type[S], env_file: Path | None = None) -> S:
    """Read settings of some kind from the environment, and what it does not set from a file.

    :raises SettingsError: naming every variable whose value cannot be used, or the file if it is no text.
    """
    try:
        return kind(_env_file=env_file)
    except UnicodeDecodeError:
        raise SettingsError(f"{env_file}: is no text in UTF-8") from None
    except ValidationError as error:
        lines, variables = [], []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"]).upper()
            reason = item["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {reason}" if name else reason)
            variables += [str(part).upper() for part in item["loc"][:1]]
        raise SettingsError("\n".join(lines), variables=dict.fromkeys(variables)) from None


def _check_consistency(settings: Settings) -> None:
    """Raise ``ValueError`` if the settings do not go together."""
    if settings.azure_openai_endpoint and not settings.azure_openai_model:
        raise ValueError("AZURE_OPENAI_MODEL: must name the deployment when AZURE_OPENAI_ENDPOINT is set")
    if settings.model_kind == "openai" and not settings.openai_model:
        raise ValueError("OPENAI_MODEL: must name the model when OPENAI_API_KEY or OPENAI_BASE_URL is set")
    if bool(settings.entra_tenant_ids) != bool(settings.entra_audience):
        raise ValueError("ENTRA_AUDIENCE: must be set together with ENTRA_TENANT_IDS")
    if settings.entra_client_id and not settings.entra_tenant_ids:
        raise ValueError("ENTRA_TENANT_IDS: must be set with ENTRA_CLIENT_ID: whose users could sign in?")
    if bool(settings.bot_app_id) != bool(settings.bot_tenant_id):
        raise ValueError("BOT_TENANT_ID: must be set together with BOT_APP_ID")
    if settings.teams_local and (settings.website_site_name or settings.bot_app_id or not settings.serves_loopback_only):
        raise ValueError("TEAMS_LOCAL: is for this machine only: not on Azure, not with BOT_APP_ID, HOST on loopback")
    if settings.dev_mode:
        _check_dev_mode(settings)
    if settings.website_site_name:
        _check_on_azure(settings)


def _check_dev_mode(settings: Settings) -> None:
    """Refuse to show exceptions' texts, which may quote a prompt or a key, to anybody but the developer."""
    if settings.website_site_name:
        raise ValueError("DEV_MODE: must not be set on Azure: it shows the texts of exceptions")
    if settings.auth_configured:
        raise ValueError("DEV_MODE: must not be set with API_KEYS or ENTRA_TENANT_IDS: it shows the texts of exceptions")
    if not settings.serves_loopback_only:
        raise ValueError("DEV_MODE: must not be set unless HOST is a loopback address: it shows the texts of exceptions")


def _check_on_azure(settings: Settings) -> None:
    if not settings.cosmos_endpoint:
        raise ValueError("COSMOS_ENDPOINT: must be set on Azure: SQLite would lose the threads")
    if settings.model_kind == "offline":
        raise ValueError("AZURE_OPENAI_ENDPOINT: must be set on Azure: the offline model is for one machine only")
    if not settings.auth_configured:
        raise ValueError("API_KEYS: must be set on Azure, or ENTRA_TENANT_IDS: nobody could sign in")
    if settings.bot_app_id and not settings.bot_queue_url:
        raise ValueError("BOT_QUEUE_URL: must be set on Azure with BOT_APP_ID: accepted activities would be lost")
    for name in ("turn_timeout_seconds", "batch_timeout_seconds"):
        if getattr(settings, name) > LONGEST_ON_AZURE:
            raise ValueError(f"{name.upper()}: must be at most {LONGEST_ON_AZURE:g} on Azure, which cuts answers at 230 s")
