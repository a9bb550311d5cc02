"""Where a request comes from: the address that is counted against, and whether it is this machine itself."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from fastapi import Request

from settings import Settings, is_loopback

FORWARDING_HEADERS = ("forwarded", "via", "x-real-ip")


def client_address(request: Request, settings: Settings) -> str:
    """Return the address of the caller: the first one, from the end, that no proxy of ours has.

    Each proxy appends to ``X-Forwarded-For`` whom it has been asked by. On Azure the front end is always in between; other
    proxies are those of ``TRUSTED_PROXIES``. What stands before the first address that is not trusted may be made up.
    """
    hops = [hop for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    address = _parse(request.client.host if request.client else "")
    believed = bool(settings.website_site_name) or _is_trusted(address, settings)
    while believed and hops:
        address = _parse(hops.pop().strip())
        believed = _is_trusted(address, settings)
    return str(address or "unknown")


def is_from_this_machine(request: Request, settings: Settings) -> bool:
    """Tell whether a request was made on this machine, for itself.

    It came over the loopback interface and to a loopback name (or it may be DNS rebinding); no proxy says that it passes on
    another's; and it is not from a page of another site, unless ``CORS_ORIGINS`` names that.
    """
    headers, name = request.headers, request.url.hostname or ""
    if request.client is None or not is_loopback(request.client.host) or not is_loopback(name):
        return False
    if any(each in FORWARDING_HEADERS or each.startswith("x-forwarded-") for each in headers):
        return False
    return headers.get("sec-fetch-site") != "cross-site" or headers.get("origin", "").lower() in settings.cors_origins


def has_foreign_origin(request: Request) -> bool:
    """Tell whether a page that is not this machine's has made a request."""
    origin = request.headers.get("origin")
    return origin is not None and not is_loopback(urlsplit(origin).hostname or "")


def _is_trusted(address: IPv4Address | IPv6Address | None, settings: Settings) -> bool:
    return address is not None and any(address in network for network in settings.trusted_proxies)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, which may come with its port: 203.0.113.7:52814 or [2001:db8::1]:52814."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
