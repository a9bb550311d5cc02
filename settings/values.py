"""The types of settings that are more than a word or a number. Their messages follow the variable's name."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import from_json
from pydantic_settings import NoDecode


class ApiKey(BaseModel):
    """An API key: a client application of one tenant. Only the hash of the key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    tenant: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    scopes: tuple[Literal["chat", "admin"], ...] = ("chat",)
    expires: AwareDatetime | None = None


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _parse_keys(value: Any) -> Any:
    try:
        return from_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError("must be a JSON list of {name, tenant, sha256, scopes, expires?}") from error


def _split(value: Any) -> Any:
    return tuple(each.strip().lower() for each in value.split(",") if each.strip()) if isinstance(value, str) else value


def without_credentials(address: str) -> str:
    """Return an address as it may be shown: without user, password, and what follows the path."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _parts(value: str) -> SplitResult:
    """Return an address's parts. An error never quotes them, as the library's own does: they may hold a password."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address; special characters in a password must be written as %XX") from None
    return parts


def _check_address(value: str) -> str:
    parts = _parts(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must start with https:// (or http:// on this machine or its network, such as http://localhost:8080)")
    if parts.scheme == "http" and not is_loopback(parts.hostname) and "." in parts.hostname:
        raise ValueError("must start with https:// (plain http only on this machine or its network)")
    return value


def _check_authority(value: str) -> str:
    parts = _parts(value)
    if parts.username is not None:
        raise ValueError("must hold no user and no password: every caller is shown it")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError("must start with https:// (plain http only on this machine)")
    return value


def _check_queue(value: str) -> str:
    name = urlsplit(value).path.rpartition("/")[2]
    if not re.fullmatch(r"[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]", name):
        raise ValueError("must end with the queue's name, such as https://name.queue.core.windows.net/activities")
    return value


def _check_redis(value: SecretStr) -> SecretStr:
    if _parts(value.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must be an address that starts with rediss://, redis:// or unix://")
    return value


def _check_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin) for origin in value):
        raise ValueError("must be origins such as https://app.example.com, separated by commas")
    return value


def _parse_networks(value: Any) -> Any:
    try:
        return tuple(map(ipaddress.ip_network, _split(value)))
    except ValueError as error:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from error


def _check_connection_string(value: SecretStr) -> SecretStr:
    if not re.search(r"(^|;)InstrumentationKey=[0-9A-Fa-f-]{36}(;|$)", value.get_secret_value()):
        raise ValueError("must be a connection string, InstrumentationKey=…;IngestionEndpoint=https://…")
    return value


Guid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Guids = Annotated[tuple[Guid, ...], NoDecode, BeforeValidator(_split)]
ApiKeys = Annotated[tuple[ApiKey, ...], NoDecode, BeforeValidator(_parse_keys)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_origins)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_parse_networks)]
Address = Annotated[str, AfterValidator(_check_address)]
QueueAddress = Annotated[Address, AfterValidator(_check_queue)]
Authority = Annotated[str, AfterValidator(_check_authority)]
RedisAddress = Annotated[SecretStr, AfterValidator(_check_redis)]
ConnectionString = Annotated[SecretStr, AfterValidator(_check_connection_string)]
