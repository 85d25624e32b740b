"""API keys: what they look like, and who is recognised."""

import itertools
import re
import secrets
from functools import partial

import pytest

from services.billing.accounts import Key, StoredKey
from services.billing.errors import InvalidKeyError, KeyRevokedError
from services.billing.keys import Token, hash_secret, new_token, parse_token, recognise

PEPPER = b"a pepper of the test"
TOKEN = Token("a" * 16, "b" * 40)
KEY = Key(TOKEN.key_id, "acme", "alice", "", 0)
NOW = 1000


def stored(key: Key = KEY, secret: str = TOKEN.secret) -> StoredKey:
    return StoredKey(key, hash_secret(PEPPER, secret), has_hard_budget=True)


def test_a_token_has_the_stated_form_and_reads_back() -> None:
    token = new_token(partial(secrets.choice))
    assert re.fullmatch(r"hg_[A-Za-z0-9]{16}_[A-Za-z0-9]{46}", token.text())
    assert parse_token(token.text()) == token


def test_every_character_is_drawn() -> None:
    drawn = itertools.cycle("xyz")
    assert new_token(lambda _: next(drawn)).text().startswith("hg_xyzxyzxyzxyzxyzx_yzx")


@pytest.mark.parametrize(
    "text", ["", "hg_", "hg_a", "hg_a_", "hg__b", "xx_a_b", "hg_a_b_c", "hg_a_b ", "hg_ä_b", "hg_a_b\n"]
)
def test_what_is_no_token_is_not_read(text: str) -> None:
    assert parse_token(text) is None


def test_a_token_of_earlier_releases_is_read_as_it_is() -> None:
    assert parse_token(f"hg_{'a' * 16}_{'b' * 40}") == TOKEN


def test_a_token_whose_last_characters_do_not_fit_is_not_read() -> None:
    text = new_token(partial(secrets.choice)).text()
    assert parse_token(text[:-7] + ("a" if text[-7] != "a" else "b") + text[-6:]) is None


def test_a_token_does_not_show_its_secret() -> None:
    assert TOKEN.secret not in repr(TOKEN)


def test_the_hash_depends_on_secret_and_pepper() -> None:
    hashes = {hash_secret(PEPPER, "x"), hash_secret(PEPPER, "y"), hash_secret(b"another pepper", "x")}
    assert len(hashes) == 3


def test_the_right_secret_is_recognised() -> None:
    resolved = recognise(PEPPER, TOKEN, stored(), NOW)
    assert (resolved.key, resolved.has_hard_budget) == (KEY, True)


@pytest.mark.parametrize(
    ("token", "known"),
    [
        (None, None),
        (None, stored()),
        (TOKEN, None),
        (TOKEN, stored(secret="another")),
        (Token("a" * 16, ""), stored()),
    ],
)
def test_anything_else_is_refused_alike(token: Token | None, known: StoredKey | None) -> None:
    with pytest.raises(InvalidKeyError, match=r"^no such API key$"):
        recognise(PEPPER, token, known, NOW)


@pytest.mark.parametrize(
    "ended",
    [Key(TOKEN.key_id, "acme", "", "", 0, revoke_ns=1), Key(TOKEN.key_id, "acme", "", "", 0, expire_ns=NOW)],
)
def test_a_key_that_has_ended_says_so_to_who_has_its_secret(ended: Key) -> None:
    with pytest.raises(KeyRevokedError):
        recognise(PEPPER, TOKEN, stored(ended), NOW)
    with pytest.raises(InvalidKeyError):
        recognise(PEPPER, Token(TOKEN.key_id, "wrong"), stored(ended), NOW)


def test_a_key_is_good_until_the_moment_that_it_expires() -> None:
    key = Key(TOKEN.key_id, "acme", "", "", 0, expire_ns=NOW + 1)
    assert recognise(PEPPER, TOKEN, stored(key), NOW).key == key
