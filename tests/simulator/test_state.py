"""The ledger, the waiting faults and the prompt cache on their own."""

from simulator.answer import Segment
from simulator.faults import Fault, FaultQueue
from simulator.ledger import Ledger
from simulator.prompt_cache import PromptCache


def test_the_ledger_keeps_the_latest_records_up_to_its_capacity() -> None:
    ledger = Ledger(capacity=3)
    for _ in range(5):
        ledger.open("openai.chat", "", 0.0)
    assert [record.seq for record in ledger.since(0)] == [3, 4, 5]
    assert [record.seq for record in ledger.since(4)] == [5]
    assert [record.seq for record in ledger.since(99)] == []


def test_since_stays_true_after_a_reset() -> None:
    ledger = Ledger()
    ledger.open("openai.chat", "", 0.0)
    ledger.reset()
    assert list(ledger.since(0)) == []
    ledger.open("openai.chat", "", 0.0)
    assert [record.seq for record in ledger.since(0)] == [2]
    assert len(ledger) == 1


def test_faults_are_spent_in_order_on_the_requests_that_they_are_for() -> None:
    faults = FaultQueue()
    faults.add(Fault((("status", "500"),), "sim-small", 1))
    faults.add(Fault((("status", "503"),), None, 2))
    taken = [faults.take(model) for model in ("sim-large", "sim-small", "sim-small", "sim-small")]
    assert [dict(pairs).get("status") for pairs in taken] == ["503", "500", "503", None]
    assert faults.pending() == []


def test_the_longest_known_prefix_is_read_and_the_rest_of_the_marked_prompt_written() -> None:
    cache = PromptCache()
    system, turn, rest = Segment("s", 10, marked=True), Segment("t", 5, marked=True), Segment("r", 3)
    assert cache.visit("sim-small", [system, rest]) == (0, 10)
    assert cache.visit("sim-small", [system, turn, rest]) == (10, 5)
    assert cache.visit("sim-small", [system, turn, rest]) == (15, 0)
    assert cache.visit("sim-large", [system, rest]) == (0, 10)
    assert cache.visit("sim-small", [rest]) == (0, 0)


def test_the_prompt_cache_forgets_the_prefix_that_was_not_used_for_longest() -> None:
    cache = PromptCache(capacity=2)
    first, second, third = (Segment(name, 1, marked=True) for name in "abc")
    for segment in (first, second, first, third):
        cache.visit("sim-small", [segment])
    assert cache.visit("sim-small", [first]) == (1, 0)
    assert cache.visit("sim-small", [second]) == (0, 1)
