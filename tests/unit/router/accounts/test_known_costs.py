"""What is known of a request's cost is never more than what such a request costs."""

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.common.v1.caller_pb2 import Caller
from services.router.accounts.known_costs import KnownCosts


def asked(hold_id: str, input_tokens: int, output_tokens: int, model: str = "m") -> billing.AuthorizeRequest:
    return billing.AuthorizeRequest(
        hold_id=hold_id,
        caller=Caller(organization_id="acme"),
        candidates=[billing.Candidate(provider="p", model=model)],
        input_tokens=input_tokens,
        max_output_tokens=output_tokens,
        labels={"request": hold_id},
    )


def test_one_that_is_as_large_costs_as_much_and_of_a_smaller_or_another_nothing_is_known() -> None:
    costs = KnownCosts(lambda: 0.0)
    costs.learn(asked("a", 10, 20), 500)
    assert costs.least(asked("b", 10, 20)) == 500
    assert costs.least(asked("b", 11, 25)) == 500
    assert costs.least(asked("b", 9, 30)) == 0
    assert costs.least(asked("b", 30, 19)) == 0
    assert costs.least(asked("b", 10, 20, "n")) == 0


def test_the_last_is_what_is_known_for_a_minute() -> None:
    now = 0.0
    costs = KnownCosts(lambda: now)
    costs.learn(asked("a", 10, 20), 500)
    costs.learn(asked("b", 5, 20), 300)
    assert costs.least(asked("c", 10, 20)) == 300
    now = 61.0
    assert costs.least(asked("c", 10, 20)) == 0
