"""Which addresses media may be fetched from.

Addresses come from outside: from a platform's answers, from people's lists, from redirects.
None of them may lead to this machine, to the network that it stands in, or to the service
from which a cloud machine reads its own keys (server-side request forgery; OWASP's cheat
sheet on it). What is public is told by IANA's registries of special addresses, as
`ipaddress` of the standard library knows them.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from reelscope.errors import CrawlFailed

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARS = 8192
"""Signed addresses of media have about 1,000."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
_CLOUD = {ipaddress.ip_address("168.63.129.16")}  # Azure's own service has a public address


def split_url(url: str) -> SplitResult:
    """The parts of a web address that may be asked for.

    Raises:
        CrawlFailed: another scheme than http and https, no host, a name or password in it,
            control characters, or too long; the fault is not_supported.
    """
    shown = repr(url[:100])
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise _refused(f"{shown} is not the address of a web page or file")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused(f"{shown} is not the address of a web page or file") from None
    if parts.scheme not in ("http", "https"):
        raise _refused(f"{shown} is not fetched: only http and https are")
    if not parts.hostname or port == 0:
        raise _refused(f"{shown} names no server")
    if parts.username is not None or parts.password is not None:
        raise _refused("an address that carries a user name or a password is not fetched")
    return parts


def public_addresses(host: str, port: int, *, loopback: bool) -> list[str]:
    """The IP addresses of a host, every one of which may be connected to.

    Args:
        host: name or literal address.
        port: that is wanted.
        loopback: this machine's own addresses are fine too.

    Raises:
        CrawlFailed: not_supported: one of its addresses is not public; network: there is
            no such name, or names cannot be looked up now.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CrawlFailed(
            "network",
            f"the address of {host[:100]!r} cannot be found ({error})",
            remedy="check the network and the name, then run the same command again",
        ) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _require_public(host, address, loopback=loopback)
    return addresses


def require_public_literal(host: str, *, loopback: bool) -> None:
    """Refuse private addresses that stand there as such; names are not looked up.

    For requests through a proxy, which looks up names in its own network.

    Raises:
        CrawlFailed: the address is not public; not_supported.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        name = "127.0.0.1"
    if address := _literal(name):
        _require_public(host, address, loopback=loopback)


def _literal(name: str) -> str | None:
    """The address that a host name is; 0x7f.1 is one too. None: it is a name."""
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None


def _require_public(host: str, address: str, *, loopback: bool) -> None:
    known = ipaddress.ip_address(address.partition("%")[0])
    inner = [known, *_within(known)]
    if loopback and all(ip.is_loopback for ip in inner[-1:]):
        return
    if not all(_is_public(ip) for ip in inner):
        raise _refused(f"{host[:100]!r} is in a private network ({address}), it is not asked")


def _within(address: IPAddress) -> list[IPAddress]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [ip for ip in found if ip is not None]


def _is_public(address: IPAddress) -> bool:
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped
    public = bool(mapped) or address.is_global
    return public and not address.is_multicast and address not in _CLOUD


def _refused(message: str) -> CrawlFailed:
    return CrawlFailed("not_supported", message, remedy="take it out of the list")
