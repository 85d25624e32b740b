"""The token rule, and answers made of tokens."""

from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from simulator.answer import Finish, Task, Tool, compose
from simulator.behaviour import NORMAL, Behaviour
from simulator.text import count_tokens, pieces, seed_of, write_words

TOOL = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}})
tasks = st.builds(
    Task,
    seed=st.integers(0, 2**64 - 1),
    asked=st.sampled_from(["", "call:weather now"]),
    tools=st.sampled_from([(), (TOOL,)]),
    schema=st.sampled_from([None, TOOL.schema]),
    max_tokens=st.none() | st.integers(1, 40),
    stop=st.lists(st.sampled_from(["the", " ", "am", ".", "zzz"]), max_size=3).map(tuple),
    reasoning_tokens=st.integers(0, 20),
)


def test_a_token_is_up_to_eight_characters_with_the_space_before_them() -> None:
    assert pieces("Say something about rivers. ") == ["Say", " somethin", "g", " about", " rivers.", " "]
    assert count_tokens("") == 0


@given(st.text())
def test_the_tokens_of_a_text_make_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


@given(st.text(), st.integers(0, 50))
def test_a_cut_text_has_the_tokens_of_the_whole_up_to_the_cut(text: str, length: int) -> None:
    cut, whole = pieces(text[:length]), pieces(text)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(cut, whole, strict=False)))
    assert same >= len(cut) - 1


@given(st.integers(0, 2**64 - 1), st.integers(0, 200))
def test_written_words_are_one_token_each(seed: int, count: int) -> None:
    words = write_words(seed, count)
    assert pieces("".join(words)) == words
    assert len(words) == count
    assert write_words(seed, count + 1)[:count] == words


def test_a_seed_tells_parts_apart_that_join_to_the_same_text() -> None:
    assert seed_of("ab", "c") != seed_of("a", "bc")
    assert seed_of("a", None) != seed_of("a")


@given(tasks)
def test_an_answer_keeps_within_its_limit_and_says_when_it_was_cut(task: Task) -> None:
    answer, unlimited = compose(task, NORMAL), compose(_without_limit(task), NORMAL)
    if task.max_tokens is None:
        assert answer == unlimited
        return
    assert answer.tokens <= task.max_tokens
    if answer.finish is Finish.LENGTH:
        assert answer.tokens == task.max_tokens
        assert unlimited.tokens > task.max_tokens or unlimited.finish is Finish.STOP_SEQUENCE


@given(tasks)
def test_an_answer_never_holds_a_stop_sequence(task: Task) -> None:
    answer = compose(task, NORMAL)
    text = "".join(answer.text)
    assert not any(stop in text for stop in task.stop)
    assert pieces(text) == answer.text
    assert (answer.stop_sequence is None) == (answer.finish is not Finish.STOP_SEQUENCE)


@given(tasks, st.integers(0, 30), st.integers(0, 30))
def test_knobs_set_how_long_text_and_reasoning_are(task: Task, tokens: int, reasoning: int) -> None:
    plain = Task(task.seed)
    answer = compose(plain, Behaviour(tokens=tokens, reasoning_tokens=reasoning))
    assert (len(answer.text), len(answer.reasoning)) == (tokens, reasoning)


def _without_limit(task: Task) -> Task:
    return Task(
        task.seed,
        task.asked,
        task.tools,
        schema=task.schema,
        stop=task.stop,
        reasoning_tokens=task.reasoning_tokens,
    )
