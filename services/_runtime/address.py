"""host:port texts: taken apart, put together, and judged for being on this machine only."""

import ipaddress
from urllib.parse import unquote


def split_host_port(address: str) -> tuple[str, int]:
    """:raises ValueError: not `host:port` or `[ipv6]:port`."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535 or not host:  # noqa: PLR2004
        raise ValueError(f"{address!r} is not host:port, such as 127.0.0.1:50051 or [::]:50051")
    return host.strip("[]"), int(port)


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def caller_address(peer: str) -> str:
    """Of what gRPC calls a server's peer (`ipv4:10.0.0.7:51234`), the part that stays the same from call to call.

    Of IPv6 it is the network, `2001:db8::/64`, in which a machine may choose its addresses; a peer of another kind, such as a
    local socket, is its kind.
    """
    scheme, _, rest = peer.partition(":")
    if scheme not in {"ipv4", "ipv6"}:
        return scheme
    try:
        address = ipaddress.ip_address(split_host_port(unquote(rest))[0])
    except ValueError:
        return scheme
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


def stays_here(target: str) -> bool:
    """Whether a gRPC target (`host:port`, or with a scheme of its own) is on this machine, as far as its text says."""
    scheme, separator, rest = target.partition(":")
    if separator and scheme in {"unix", "unix-abstract"}:
        return True
    if separator and scheme in {"dns", "ipv4", "ipv6", "passthrough"}:
        target = rest.rpartition("/")[2]
    return all(_is_here(each) for each in target.split(","))


def _is_here(address: str) -> bool:
    try:
        host = split_host_port(address)[0]
    except ValueError:
        host = address.strip("[]")
    # Whoever calls the address that stands for all of a machine's own calls this machine.
    return is_loopback(host) or host in {"0.0.0.0", "::"}  # noqa: S104
