"""Which URLs may be fetched, and which addresses may be connected to: public ones.

The address decides, never the name: a name resolves to whatever its owner says at the moment.
Addresses that are public but the deployment's own are known only from
`FetchConfig.blocked_networks`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from serve.config import FetchConfig
from serve.http import problems
from serve.http.messages import MAX_URL_CHARS

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "https": 443}
URL_CHARS = re.compile(r"[!-\[\]-~]+")  # printable ASCII without space and backslash
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")  # part of an IPv4 address, to resolvers

# Not global, or global but never a place for videos. Python's own lists depend on its version.
NEVER_V4 = tuple(map(ipaddress.IPv4Network, (
    "0.0.0.0/8", "100.64.0.0/10",  # this network; shared by carriers (and a cloud's metadata)
    "168.63.129.16/32",  # a cloud's control plane on a public address
    "192.0.0.0/24", "192.88.99.0/24",  # protocol assignments; retired relays
    "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",  # benchmarks; multicast; reserved
)))  # fmt: skip
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
NEVER_V6 = tuple(map(ipaddress.IPv6Network, (
    "2001::/23", "2001:db8::/32", "3fff::/20",  # protocols and tunnels; documentation
    "2002::/16",  # carries any IPv4 address
)))  # fmt: skip
EMBEDDING_V6 = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))


def refused(detail: str) -> problems.HTTPProblem:
    """The 422 problem of a URL that is not fetched."""
    return problems.invalid(detail, "url_refused")


def no_public_address() -> problems.HTTPProblem:
    """The same problem for a name that does not resolve and for one with a private address, so that
    nobody can find out which names exist inside.
    """
    return refused("the host has no public address")


@dataclass(frozen=True)
class AddressPolicy:
    """Which addresses may be connected to."""

    allowed: tuple[Network, ...] = ()
    blocked: tuple[Network, ...] = ()

    @classmethod
    def of(cls, config: FetchConfig) -> AddressPolicy:
        """The policy of a configuration."""
        return cls(
            tuple(map(ipaddress.ip_network, config.allowed_networks)),
            tuple(map(ipaddress.ip_network, config.blocked_networks)),
        )

    def permits(self, address: Address) -> bool:
        """Whether ``address`` may be connected to: it is public or allowed, and not blocked."""
        inner = embedded(address)
        if any(_holds(network, found) for network in self.blocked for found in (address, inner)):
            return False
        return is_public(address) or any(_holds(network, inner) for network in self.allowed)

    def pin(self, addresses: list[str]) -> tuple[str, ...]:
        """The addresses in canonical form. Raises the 422 problem unless all of them are permitted.

        One address that is not permitted is enough: a name with a public and a private address is
        an attack.
        """
        try:
            found = [ipaddress.ip_address(text) for text in addresses]
        except ValueError:  # such as one with a zone
            raise no_public_address() from None
        if not found or not all(map(self.permits, found)):
            raise no_public_address()
        return tuple(dict.fromkeys(map(str, found)))


def embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 address (mapped, NAT64), else the address itself."""
    if address.version == 6 and any(_holds(network, address) for network in EMBEDDING_V6):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is a unicast address of the public internet."""
    address = embedded(address)
    never: tuple[Network, ...] = NEVER_V4
    if address.version == 6:
        if getattr(address, "scope_id", None) or not _holds(GLOBAL_V6, address):
            return False
        never = NEVER_V6
    return address.is_global and not any(_holds(network, address) for network in never)


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


@dataclass(frozen=True)
class Target:
    """The parts of a URL: ``host`` in lower case without brackets, path and query as sent."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def literal(self) -> str | None:
        """The host if it is an address, None if it is a name."""
        try:
            return str(ipaddress.ip_address(self.host))
        except ValueError:
            return None

    @property
    def name(self) -> str:
        """The last part of the path, as a name to show."""
        return unquote(self.path.rpartition("/")[2])


def parse_target(url: str, config: FetchConfig) -> Target:
    """The parts of a URL that follows the rules; the 422 problem says which one it breaks.

    The rules are stricter than those of browsers: printable ASCII, no user name or password, no
    legacy notations of addresses.
    """
    if len(url) > MAX_URL_CHARS or not URL_CHARS.fullmatch(url):
        raise refused(f"expected a URL of at most {MAX_URL_CHARS} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise refused("expected a URL") from None
    if parts.scheme not in config.schemes:
        known = ", ".join([*config.schemes, *(["s3"] if config.s3_buckets else [])]) or "no URL"
        raise refused(f"expected {known}, got the scheme {parts.scheme[:20]!r}")
    if "@" in parts.netloc:
        raise refused("a URL with a user name or a password is not accepted")
    port = PORTS[parts.scheme] if port is None else port
    if port not in config.ports:
        raise refused(f"port {port} is not allowed")
    if ("[" in parts.netloc) != (":" in host):
        raise refused("the host is not a valid IPv6 address")
    return Target(parts.scheme, _checked_host(host), port, parts.path or "/", parts.query)


def _checked_host(host: str) -> str:
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            raise refused("the host is not a valid IPv6 address") from None
        if address.scope_id:
            raise refused("an address with a zone is not allowed")
        return str(address)
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(LABEL.fullmatch(part) for part in labels):
        raise refused("the host is not a valid domain name (write international names as xn--…)")
    if NUMERIC.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise refused("the host is not an IPv4 address of four decimal numbers") from None
    return name
