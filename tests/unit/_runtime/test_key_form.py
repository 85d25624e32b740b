"""API keys are told from what only looks like them."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.key_form import Fault, checksum, fault_of, key_id_of
from tests.support.api_keys import api_key, api_key_of_earlier_releases

ALPHABET = string.ascii_letters + string.digits
TEXTS = st.text(ALPHABET, min_size=1, max_size=16)


@given(key_id=TEXTS, secret=TEXTS)
def test_keys_of_this_and_of_earlier_releases_have_no_fault(key_id: str, secret: str) -> None:
    for key in (api_key(key_id, secret), api_key_of_earlier_releases(key_id, secret)):
        assert fault_of(key) is None
        assert key_id_of(key) == f"{key_id:0<16}"


def test_the_checksum_is_the_crc32_in_base_62() -> None:
    # CRC32 of "123456789" is 0xcbf43926, its check value: 3 * 62**5 + 45 * 62**4 + 26 * 62**3 + 54 * 62**2 + 60 * 62 + 10.
    assert checksum("123456789") == "3jZRME"
    assert checksum("") == "000000"


@given(key_id=TEXTS, secret=TEXTS, place=st.integers(3, 65), to=st.sampled_from(ALPHABET))
def test_a_character_that_was_mistyped_is_found(key_id: str, secret: str, place: int, to: str) -> None:
    right = api_key(key_id, secret)
    typed = right[:place] + to + right[place + 1 :]
    if typed != right and right[place] != "_":
        assert fault_of(typed) is Fault.CHECKSUM


def test_a_key_that_was_cut_short_or_has_grown_is_none() -> None:
    right = api_key()
    cut = {fault_of(right[:length]) for length in range(len(right)) if len(right) - length != 6}
    assert cut == {Fault.MALFORMED}
    assert fault_of(right + "0") is Fault.MALFORMED


def test_chance_makes_no_checksum() -> None:
    made = (hashlib.sha256(b"%d" % number).hexdigest()[:46] for number in range(10_000))
    assert {fault_of(f"hg_{'a' * 16}_{secret}") for secret in made} == {Fault.CHECKSUM}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        "hg_",
        "hg_a",
        "hg_a_b",
        "hg__" + "s" * 40,
        "sk" + api_key()[2:],
        api_key().replace("a0", "ä0"),
        api_key() + "\n",
        api_key() + " ",
        api_key().replace("_", "-"),
        "x" * 100_000,
    ],
)
def test_what_has_another_form_is_malformed(text: str) -> None:
    assert fault_of(text) is Fault.MALFORMED
