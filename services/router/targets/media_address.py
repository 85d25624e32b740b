"""Addresses of images and documents: what is one, and whether it can mean a public host. Pure, and by the text alone."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

BUCKETS = ("gs", "s3")
_PORTS = {"http": 80, "https": 443}
_LARGEST_PORT = 65535
_LONGEST_NAME = 253
# What RFC 3986 lets stand in no address, and control characters that are encoded.
_FOREIGN = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]|%(?![0-9A-Fa-f]{2})|%[01]|%7[Ff]")
SHAPE = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[^\]/?#@%]*\]|[^/?#@:\[\]%]*)(?::(\d{1,5}))?([/?#].*)?")
# Readers of addresses differ in whether a user may go on behind ? and #.
_USER = re.compile(r"[a-z][a-z0-9+.-]*://[^/]*@")
# The last label begins with a letter: what ends in a number is an address, however it is spelled.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PRIVATE_NAMES = (
    ".localhost",
    ".localdomain",
    ".local",
    ".internal",
    ".intranet",
    ".private",
    ".corp",
    ".home",
    ".lan",
    ".svc",
    ".home.arpa",
    ".in-addr.arpa",
    ".ip6.arpa",
)
# Of clouds, for their machines alone; each is reached only where it is named itself.
CLOUD_METADATA = frozenset({"metadata.google.internal", "metadata.tencentyun.com", "168.63.129.16"})
_PROTOCOL_ASSIGNMENTS = IPv4Network("192.0.0.0/24")
_UNICAST = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URI leads. `host` is in its one canonical form; `port` is None when it is the scheme's own."""

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port else "")


def parse_address(uri: str) -> Address:
    """:raises ValueError: it is not an address in its usual form; says what is wrong with it, and the remedy."""
    if uri[:5].lower() == "data:":
        raise ValueError("it holds the bytes themselves: send them as `blob`, with their media_type")
    if _FOREIGN.search(uri):
        raise ValueError(
            "it has a space, a control character (also encoded) or another that no address has: percent-encode what is meant"
        )
    if "@" in uri and _USER.match(uri):
        raise ValueError("it names a user: leave out what is before the @, or send the bytes as `blob`")
    if (shape := SHAPE.fullmatch(uri)) is None:
        raise ValueError(
            "write it as scheme://host/path, the scheme in small letters, such as https://images.example.com/cat.png"
        )
    scheme, host, port, _ = shape.groups()
    return make_address(scheme, host, port)


def is_public(address: Address) -> bool:
    """Whether the text can mean a host that everybody reaches, and no machine's or network's own."""
    host = address.host
    if address.scheme in BUCKETS:
        return True
    if host in CLOUD_METADATA:
        return False
    if host.startswith("["):
        return _is_public_v6(IPv6Address(host[1:-1]))
    if is_number(host):
        v4 = IPv4Address(host)
        return v4.is_global and not v4.is_multicast and v4 not in _PROTOCOL_ASSIGNMENTS
    return "." in host and not host.endswith(_PRIVATE_NAMES)


def _is_public_v6(v6: IPv6Address) -> bool:
    """Forms that carry an IPv4 address lead wherever that leads."""
    return v6 in _UNICAST and v6.is_global and v6.sixtofour is None and v6.teredo is None


def make_address(scheme: str, host: str, port: str | None) -> Address:
    if scheme in BUCKETS:
        if port is not None or _BUCKET.fullmatch(host) is None:
            raise ValueError(f"it is not {scheme}://bucket/object")
        return Address(scheme, host, None)
    if scheme not in _PORTS:
        raise ValueError(
            f"{scheme}:// is none of https://, http://, gs:// and s3://: send the bytes as `blob`"
        )
    return Address(scheme, _canonical(host), _port(scheme, port))


def _port(scheme: str, port: str | None) -> int | None:
    if port is None or int(port) == _PORTS[scheme]:
        return None
    if not 1 <= int(port) <= _LARGEST_PORT:
        raise ValueError(f"{port} is no port")
    return int(port)


def _canonical(host: str) -> str:
    name = host.lower()
    if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name):
        return name
    try:
        return f"[{IPv6Address(name[1:-1])}]" if name.startswith("[") else str(IPv4Address(name))
    except ValueError:
        raise ValueError(
            "write its host as a name of letters, digits, hyphens and dots (others as xn--…), or as an address in its usual "
            "form, such as 192.0.2.1 or [2001:db8::1]"
        ) from None


def is_number(host: str) -> bool:
    return host.rpartition(".")[2][0].isdigit()
