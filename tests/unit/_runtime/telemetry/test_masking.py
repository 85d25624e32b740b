"""What providers and people say goes to the log in one line, without keys and without commands to a terminal."""

import base64
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services._runtime.telemetry.masking import LONGEST_LINE, Masking

SECRET = "canary-7f3a91c05e4b-tail"
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=80)


@given(KEYS, st.text(max_size=40), st.text(max_size=40), st.integers(0, 4))
def test_a_known_key_is_told_in_no_form(key: str, before: str, after: str, left_out: int) -> None:
    shown = key[: len(key) - left_out]
    forms = [
        shown,
        shown.encode().hex(),
        base64.b64encode(shown.encode()).decode(),
        base64.urlsafe_b64encode(shown.encode()).decode(),
    ]
    for form in forms:
        assert form not in Masking([key]).line(f"{before} {form} {after}")


@given(KEYS, st.binary(max_size=20), st.binary(max_size=20))
def test_a_known_key_is_found_wherever_encoded_text_has_it(key: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + key.encode() + after).decode()
    begin, end = len(before) * 4 // 3 + 2, (len(before) + len(key)) * 4 // 3 - 2
    assert encoded[begin:end] not in Masking([key]).line(encoded)


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-Ab3dEf6hIj9kLm",
        "sk-ant-api03-Xy_z-12345678",
        "hg_k1abc_s3cr3ts3cr3t",
        "gsk_12345678abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijk",
        "eyJhbGciOi.eyJzdWIiOjE.c2ln",
        "Bearer abcdef123456",
        "hf_abcdefghijkl",
    ],
)
def test_what_has_the_shape_of_a_key_is_masked_whosever_it_is(key: str) -> None:
    shown = Masking([]).line(f"incorrect key {key} given")
    assert key.rsplit(maxsplit=1)[-1] not in shown
    assert shown.startswith("incorrect key ***")
    assert shown.endswith("given")


def test_other_words_stay() -> None:
    said = "This model's maximum context length is 8192 tokens; request req_011CSHoEeqs5C35K2UUqR7Fy"
    assert Masking([SECRET]).line(said) == said


@given(st.text(max_size=3000))
def test_a_line_is_one_of_bounded_length_and_holds_no_control_character(text: str) -> None:
    shown = Masking([SECRET]).line(text)
    assert len(shown) <= LONGEST_LINE
    assert not [sign for sign in shown if unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not set(shown) & set("\u202e\u2066\u200b")


def test_a_short_secret_is_looked_for_whole_and_an_empty_one_hides_nothing() -> None:
    assert Masking(["sk-1"]).line("key sk-1 is wrong") == "key *** is wrong"
    assert Masking([""]).line("plain") == "plain"


def test_what_a_line_would_not_show_is_known() -> None:
    masking = Masking([SECRET])
    assert masking.hides(f"call_{SECRET[:-4]}")
    assert masking.hides("call\x1b]52;c;x\x07")
    assert not masking.hides("call_AbC123-x.y")
