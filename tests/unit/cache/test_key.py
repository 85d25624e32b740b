"""Equal keys mean equal questions of the same circle of sharers, and nothing else does."""

import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.cache.key import KEY_BYTES, SCHEMA, encode, key_of
from services.cache.question import Caller, Scope, Sharers, sharers

Input = tuple[Sharers, str, bytes]

# Few letters and the encoding's own bytes: what a collision would be made of.
texts = st.text(alphabet="ab\x00\x01:|", max_size=4)
contents = st.binary(max_size=12) | st.sampled_from([b"", b"\x00" * 8, SCHEMA])
circles = st.builds(Sharers, st.sampled_from(Scope), texts, texts, texts)
inputs = st.tuples(circles, texts, contents)
callers = st.builds(Caller, st.sampled_from(["a", "b"]), texts, texts)


@given(inputs, inputs)
def test_different_inputs_never_have_equal_encodings(first: Input, second: Input) -> None:
    assert (encode(*first) == encode(*second)) == (first == second)


def decode(encoded: bytes) -> list[bytes]:
    parts = io.BytesIO(encoded)
    lengths = [int.from_bytes(parts.read(8), "big") for _ in range(7)]
    return [*(parts.read(length) for length in lengths), *([rest] if (rest := parts.read()) else [])]


@given(inputs)
def test_an_encoding_can_be_read_back_whole_so_no_two_inputs_can_share_it(given_input: Input) -> None:
    circle, model, content = given_input
    identity = [circle.organization_id, circle.user_id, circle.key_id, model]
    assert decode(encode(*given_input)) == [
        SCHEMA,
        circle.scope.value,
        *[part.encode() for part in identity],
        content,
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((Sharers(Scope.USER, "o", "ab"), "c", b"x"), (Sharers(Scope.USER, "o", "a"), "bc", b"x")),
        ((Sharers(Scope.USER, "o", "u"), "m", b"x"), (Sharers(Scope.USER, "o", "u", ""), "mx", b"")),
        ((Sharers(Scope.ORGANIZATION, "o"), "m", b"x"), (Sharers(Scope.USER, "o"), "m", b"x")),
    ],
)
def test_a_part_that_moves_to_its_neighbour_changes_the_key(one: Input, other: Input) -> None:
    assert key_of(b"s", *one) != key_of(b"s", *other)


def test_the_key_is_the_same_in_every_process_that_has_the_secret() -> None:
    key = key_of(b"a secret of the test", Sharers(Scope.USER, "org", "user"), "model", b"content")
    assert len(key) == KEY_BYTES
    assert key.hex() == "5a4af6dea9c96c5f76ce6849ebf36c7f2e45944d3f5c02c63971f485752a15a0"


def test_another_secret_gives_another_key() -> None:
    circle = Sharers(Scope.ORGANIZATION, "org")
    assert key_of(b"one", circle, "model", b"content") != key_of(b"two", circle, "model", b"content")


def may_share(one: Caller, other: Caller, scope: Scope) -> bool:
    """The rule in words: never across organisations; by user where there is one, else by key; by key within a user."""
    if one.organization_id != other.organization_id:
        return False
    if scope is Scope.ORGANIZATION:
        return True
    if scope is Scope.USER and one.user_id:
        return one.user_id == other.user_id
    return (one.user_id, one.key_id) == (other.user_id, other.key_id)


@given(callers, callers, st.sampled_from(Scope))
def test_two_callers_share_exactly_when_the_scope_allows_it(one: Caller, other: Caller, scope: Scope) -> None:
    assert (sharers(one, scope) == sharers(other, scope)) == may_share(one, other, scope)


@given(callers, callers, st.sampled_from(Scope), st.sampled_from(Scope))
def test_no_scope_shares_with_another(one: Caller, other: Caller, scope: Scope, other_scope: Scope) -> None:
    assume(scope is not other_scope)
    assert sharers(one, scope) != sharers(other, other_scope)


def test_without_a_user_the_user_scope_shares_within_the_key_only() -> None:
    mine, theirs = Caller("org", key_id="key-1"), Caller("org", key_id="key-2")
    assert sharers(mine, Scope.USER) != sharers(theirs, Scope.USER)


def test_without_user_and_key_only_requests_that_also_have_neither_share() -> None:
    nobody = Caller("org")
    assert sharers(nobody, Scope.USER) == sharers(Caller("org"), Scope.USER)
    for other in (
        Caller("org", "user"),
        Caller("org", "", "key"),
        Caller("org", "user", "key"),
        Caller("org2"),
    ):
        for scope in Scope:
            assert sharers(nobody, Scope.USER) != sharers(other, scope)
