"""From where a provider may be asked to fetch images and documents. Pure.

Headgate fetches nothing and resolves no name: a public name that leads to a private address is kept out only by sources that
name hosts.
"""

from collections.abc import Sequence
from dataclasses import replace

from services.router.targets.media_address import (
    BUCKETS,
    CLOUD_METADATA,
    SHAPE,
    Address,
    is_number,
    is_public,
    make_address,
)

# Any public host, by name or address; any bucket.
ANY = "*"
# An address of which `host` may also be `*.a.domain`, for the names below it, or ANY.
MediaSource = Address
PUBLIC_HTTPS = (MediaSource("https", ANY, None),)


def parse_source(text: str) -> MediaSource:
    """:raises ValueError: it is not `scheme://host`, `scheme://*.domain` or `scheme://*`, with or without a port."""
    shape = SHAPE.fullmatch(text)
    if shape is None or shape[4] is not None:
        raise ValueError(f"`{text}` is not scheme://host or scheme://host:port; * and *.a.domain are hosts")
    scheme, host, port, _ = shape.groups()
    if host == ANY:
        return replace(make_address(scheme, "any", port), host=ANY)
    if not host.startswith("*."):
        return make_address(scheme, host, port)
    domain = make_address(scheme, host[2:], port)
    if "." not in domain.host or is_number(domain.host) or scheme in BUCKETS:
        raise ValueError(f"`{text}`: * stands for all, or for the names below a domain of two labels or more")
    return replace(domain, host=f"*.{domain.host}")


def why_closed(address: Address, sources: Sequence[MediaSource]) -> str | None:
    """Why a provider with these sources may not be asked for the address; None when it may."""
    if any(_opens(source, address) for source in sources):
        return None
    private = "" if is_public(address) else ", which is no public host"
    return (
        f"the provider may not be asked to fetch from {address}{private}: send the bytes as `blob`, use a public https "
        "address, or let the operator name the host in `media_sources` of the provider"
    )


def _opens(source: MediaSource, address: Address) -> bool:
    if (source.scheme, source.port) != (address.scheme, address.port):
        return False
    if source.host == ANY:
        return is_public(address)
    if source.host.startswith("*."):
        return address.host.endswith(source.host[1:]) and address.host not in CLOUD_METADATA
    return source.host == address.host
