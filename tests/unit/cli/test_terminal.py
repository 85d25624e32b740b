"""What a terminal would obey is shown, and nothing else is touched."""

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import output
from cli.terminal import echo, harmless
from tests.support.hostile_text import HOSTILE, MARKUP, obeyed_in

# As often what is obeyed as what is not.
_TEXTS = st.text(st.one_of(st.sampled_from(HOSTILE), st.characters(exclude_categories=())))


def rendered(shown: object) -> str:
    console = output.PlainConsole(
        file=io.StringIO(), width=1000, highlight=False, color_system="truecolor", force_terminal=True
    )
    console.print(shown)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@given(_TEXTS)
def test_nothing_that_is_shown_is_obeyed(text: str) -> None:
    assert not obeyed_in(harmless(text))


@given(_TEXTS)
def test_what_is_not_obeyed_stays_as_it_is(text: str) -> None:
    kept = "".join(character for character in text if not obeyed_in(character))
    assert harmless(kept) == kept


@given(_TEXTS, st.integers(0))
def test_a_text_in_two_pieces_is_shown_as_in_one(text: str, at: int) -> None:
    assert harmless(text[:at]) + harmless(text[at:]) == harmless(text)


@given(_TEXTS)
def test_a_json_document_keeps_its_values(text: str) -> None:
    assert json.loads(harmless(json.dumps({text: [text]}, ensure_ascii=False))) == {text: [text]}


@pytest.mark.parametrize(
    "text", ["two\nlines\tand a tab", "naïve", "क्\u200dष", "👩\u200d🚀", "עברית", "日本語"]
)
def test_what_people_write_is_untouched(text: str) -> None:
    assert harmless(text) == text


def test_an_escape_is_shown_by_its_number() -> None:
    assert (
        harmless("\x1b]52;c;aGk=\x07\r\x9b\u202e\ud800") == r"\u001b]52;c;aGk=\u0007\u000d\u009b\u202e\ud800"
    )


@given(_TEXTS)
def test_a_cell_a_heading_and_a_title_are_text(text: str) -> None:
    table = output.table(f"={text}", title=text)
    table.add_row(text)
    table.add_row(output.styled(("in use", "green"), text, (text, "red")))
    assert not obeyed_in(re.sub(r"\x1b\[[0-9;]*m", "", rendered(table)))


def test_markup_reads_as_it_is_written_and_styles_are_ours() -> None:
    assert rendered(MARKUP) == f"{MARKUP}\n"
    assert rendered(output.styled((MARKUP, "red"))) == f"\x1b[31m{MARKUP}\x1b[0m\n"


def test_echo_ends_as_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\r", end="")
    echo("b\x1b[2J")
    echo("c\x9b", err=True)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("a\\u000db\\u001b[2J\n", "c\\u009b\n")
