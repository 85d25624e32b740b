"""Which addresses a provider may be asked to fetch from, by their text alone."""

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from services.router.targets.media_address import parse_address
from services.router.targets.media_sources import PUBLIC_HTTPS, MediaSource, parse_source, why_closed

# Some fetcher takes each of these for 127.0.0.1, for 169.254.169.254 or for another host than it seems.
ODD_HOSTS = """
    2130706433 0x7f000001 0x7f.1 127.1 127.0.1 0177.0.0.1 017700000001 127.0.0.0x1 127.0.0.1. 999.1.1.1 1.2.3.4.5
    localhost. example.com. 127\u30020\u30020\u30021 \uff11\uff12\uff17.0.0.1 \u2460\u2461\u2466.0.0.1 example.com\u3002
    %31%32%37.0.0.1 local%68ost exa%6dple.com 127.0.0.1%00.example.com [::1%25eth0] [fe80::1%eth0] [2620:4f:8000::6%eth0]
    [127.0.0.1] [localhost] [] ::1 [::1 . .. .com a..com -a.com a-.com a.b- a.com,b.com a.com;b * *.example.com
"""
PRIVATE_HOSTS = """
    localhost metadata redis LOCALHOST a.localhost printer.local vault.corp router.lan nas.home.arpa db.default.svc
    instance-data.ec2.internal metadata.google.internal Metadata.Google.Internal metadata.tencentyun.com
    127.0.0.1 127.255.255.254 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200 192.0.0.192
    168.63.129.16 198.18.0.1 224.0.0.1 239.1.1.1 255.255.255.255
    [::1] [::] [0:0:0:0:0:0:0:1] [fe80::1] [fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1] [ff0e::1] [2001:db8::1]
    [::ffff:127.0.0.1] [::ffff:a9fe:a9fe] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] [2001:0:7f00:1::]
"""
PUBLIC_HOSTS = """
    example.com EXAMPLE.com a-b.example.co.uk my_bucket.s3.amazonaws.com xn--mnchen-3ya.example 1.example.com
    localhost.example.com local.example.com 8.8.8.8 [2001:4860:4860::8888]
"""


def refused(uri: str) -> str:
    """What is wrong with how it is written."""
    with pytest.raises(ValueError, match=r".{10}") as fault:
        parse_address(uri)
    return str(fault.value)


def may(uri: str, *sources: str) -> bool:
    opened = tuple(map(parse_source, sources)) or PUBLIC_HTTPS
    return why_closed(parse_address(uri), opened) is None


@pytest.mark.parametrize("host", [*ODD_HOSTS.split(), "", "a" * 64 + ".com", "a." * 130 + "com"])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_host_in_another_than_its_usual_form_is_no_address(scheme: str, host: str) -> None:
    refused(f"{scheme}://{host}/x.png")


@pytest.mark.parametrize("host", PRIVATE_HOSTS.split())
def test_what_is_no_public_host_is_reached_only_where_it_is_named(host: str) -> None:
    uri = f"https://{host}/x.png"
    assert not may(uri)
    assert not may(uri, "https://*", "http://*", f"http://{host}", f"https://{host}:8443")
    assert may(uri, f"https://{host}")


@pytest.mark.parametrize("host", PUBLIC_HOSTS.split())
def test_a_public_host_is_reached_over_https_at_its_port(host: str) -> None:
    assert may(f"https://{host}/a/b.png?c=d%20e&f[]=g#h")
    assert may(f"https://{host}:443")
    assert not may(f"https://{host}:8443/x.png")
    assert not may(f"http://{host}/x.png")
    assert not may(f"http://{host}:443/x.png")


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.com/\r\nHost: b",
        "https://a.com/\n",
        " https://a.com",
        "https://a.com/a b",
        "https://a.com/\t",
        "https://a.com/\x00",
        "https://a.com/\x7f",
        "https://a.com\\@b.com",
        "https://a.com/%",
        "https://a.com/%2",
        "https://a.com/%0d%0aHost:b",
        "https://a.com/%00",
        "https://a.com/%7F",
        "https://a.com/ü",
        "https://a.com/<b>",
    ],
)
def test_characters_that_no_address_has_are_refused_with_the_remedy(uri: str) -> None:
    assert "percent-encode" in refused(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://ann@a.com/",
        "https://ann:pw@a.com/",
        "https://a.com:443@b.com",
        "https://@a.com",
        "https://a.com#@b.com/",
        "https://a.com?@b.com/",
    ],
)
def test_an_address_names_no_user(uri: str) -> None:
    assert "user" in refused(uri)


def test_an_at_sign_behind_the_host_names_nobody() -> None:
    assert may("https://a.com/@ann?b=c@d")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "ftp://a.com/x",
        "javascript:alert(1)",
        "https:a.com",
        "https:/a.com",
        "//a.com/x",
        "a.com/x.png",
        "",
        "https://",
        "https:///x",
        "https://a.com:",
        "https://a.com:0/",
        "https://a.com:65536",
        "https://a.com:99999999/",
        "https://a.com:+443/",
        "HTTPS://a.com/",
        "gopher://a.com",
        "://a.com",
    ],
)
def test_what_is_no_address_of_a_known_kind_is_refused(uri: str) -> None:
    refused(uri)


@pytest.mark.parametrize("uri", ["data:image/png;base64,AAE=", "DATA:,x"])
def test_bytes_belong_in_a_blob(uri: str) -> None:
    assert "`blob`" in refused(uri)


def test_buckets_are_open_where_they_are_named() -> None:
    for scheme in ("gs", "s3"):
        assert not may(f"{scheme}://photos/a.png")
        assert may(f"{scheme}://photos/a.png", f"{scheme}://photos")
        assert may(f"{scheme}://photos/a.png", f"{scheme}://*")
        assert not may(f"{scheme}://photos2/a.png", f"{scheme}://photos", "https://*")
        refused(f"{scheme}://photos:80/a.png")


def test_a_wildcard_stands_for_the_names_below_its_domain() -> None:
    source = "https://*.images.internal"
    assert may("https://a.images.internal/x", source)
    assert may("https://a.b.images.internal/x", source)
    for uri in (
        "https://images.internal/x",
        "https://evilimages.internal/x",
        "https://images.internal.evil.com/x",
    ):
        assert not may(uri, source)


def test_no_wildcard_opens_the_metadata_of_a_cloud() -> None:
    assert not may("https://metadata.google.internal/x", "https://*.google.internal")
    assert may("http://metadata.google.internal/x", "http://metadata.google.internal")


def test_without_sources_nothing_is_fetched() -> None:
    assert why_closed(parse_address("https://example.com/x"), ()) is not None


def test_the_refusal_names_the_address_and_the_remedies() -> None:
    reason = why_closed(parse_address("http://127.0.0.1:8500/v1/kv"), PUBLIC_HTTPS)
    assert reason is not None
    for part in ("http://127.0.0.1:8500, which is no public host", "`blob`", "`media_sources`"):
        assert part in reason


@pytest.mark.parametrize(
    "source",
    [
        "example.com",
        "https://",
        "https://a.com/x",
        "https://a.com/",
        "https://u@a.com",
        "https://*.com",
        "https://*.",
        "https://*.1.2.3.4",
        "https://a.*.com",
        "https://**",
        "*",
        "ftp://*",
        "gs://*.photos",
        "gs://a:80",
        "https://*:0",
    ],
)
def test_a_source_that_says_nothing_clear_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r".{10}"):
        parse_source(source)


def test_a_source_may_name_a_port() -> None:
    assert parse_source("https://*:8443") == MediaSource("https", "*", 8443)
    assert parse_source("http://A.Internal:80") == MediaSource("http", "a.internal", None)


PIECES = "a.com x.example 8.8.8.8 127.0.0.1 [2001:4860::1] [::1] 0x7f localhost . : :443 :80 @ / \\ # ? % %2e a 1 xn--a -"
URIS = st.lists(st.sampled_from(PIECES.split()), min_size=1, max_size=5).map(
    lambda pieces: "https://" + "".join(pieces)
)


@given(st.text(max_size=60) | URIS)
def test_whatever_is_open_by_default_leads_others_to_the_same_host(uri: str) -> None:
    try:
        address = parse_address(uri)
    except ValueError:
        return
    if why_closed(address, PUBLIC_HTTPS) is None:
        assert uri.isascii()
        assert uri.isprintable()
        for scheme, host, port in (read_by_the_standard_library(uri), read_by_yarl(uri)):
            assert (scheme, same_form(host), port or 443) == (
                "https",
                same_form(address.host.strip("[]")),
                443,
            )


def read_by_the_standard_library(uri: str) -> tuple[str, str | None, int | None]:
    read = urlsplit(uri)
    return read.scheme, read.hostname, read.port


def read_by_yarl(uri: str) -> tuple[str, str | None, int | None]:
    read = URL(uri)
    return read.scheme, read.raw_host, read.port


def same_form(host: str | None) -> str | None:
    return str(ipaddress.ip_address(host)) if host and ":" in host else host


@given(st.ip_addresses())
def test_an_address_is_open_only_when_everybody_could_reach_it(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    if may(f"https://{host}/x"):
        assert ip.is_global
        assert not (ip.is_multicast | ip.is_loopback | ip.is_link_local | ip.is_private | ip.is_unspecified)
