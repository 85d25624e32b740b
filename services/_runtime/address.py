"""host:port texts: taken apart, put together, and judged for being on this machine only."""

import ipaddress


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
