"""What gRPC calls a peer becomes the address by which a caller is known."""

import pytest

from services._runtime.address import caller_address


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:51234", "10.0.0.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:443", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::1]:443", "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:10.0.0.7%5D:51234", "10.0.0.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:443", "fe80::/64"),
        ("ipv6:[::1]:443", "::/64"),
        ("unix:/run/headgate.sock", "unix"),
        ("unix:", "unix"),
        ("ipv4:what", "ipv4"),
        ("", ""),
    ],
)
def test_an_address_is_what_stays_from_call_to_call(peer: str, address: str) -> None:
    assert caller_address(peer) == address
