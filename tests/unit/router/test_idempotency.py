"""A request_id that is in flight."""

import pytest

from headgate.router.v1 import completion_pb2
from services.router.errors import IdempotencyMismatchError, RequestInFlightError
from services.router.idempotency import InFlight


def ask(request_id: str, model: str = "m") -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model=model, request_id=request_id)


def test_the_same_request_is_not_served_beside_itself() -> None:
    in_flight = InFlight()
    in_flight.enter("acme", ask("r1"))
    with pytest.raises(RequestInFlightError):
        in_flight.enter("acme", ask("r1"))


def test_the_same_id_with_another_body_is_refused_and_names_the_field() -> None:
    in_flight = InFlight()
    in_flight.enter("acme", ask("r1"))
    with pytest.raises(IdempotencyMismatchError) as refusal:
        in_flight.enter("acme", ask("r1", model="other"))
    assert [violation.field for violation in refusal.value.field_violations] == ["request_id"]


def test_ids_of_different_organisations_are_different() -> None:
    in_flight = InFlight()
    in_flight.enter("acme", ask("r1"))
    in_flight.enter("other", ask("r1"))


def test_an_id_is_free_again_afterwards_and_a_refusal_does_not_free_it() -> None:
    in_flight = InFlight()
    in_flight.enter("acme", ask("r1"))
    for _ in range(2):
        with pytest.raises(RequestInFlightError):
            in_flight.enter("acme", ask("r1"))
    in_flight.leave("acme", ask("r1"))
    in_flight.enter("acme", ask("r1", model="other"))


def test_requests_without_an_id_are_never_the_same() -> None:
    in_flight = InFlight()
    in_flight.enter("acme", ask(""))
    in_flight.enter("acme", ask(""))
