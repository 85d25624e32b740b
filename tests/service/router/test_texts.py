"""Whatever a request says and is called, what it used is booked: no character makes anything free, or locks anybody out."""

import unicodedata
from collections import Counter
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import budget_pb2
from headgate.router.v1 import completion_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, many, router_section
from tests.support.in_process import InProcessSuite
from tests.support.rpc_errors import Refusal, read_refusal
from tests.support.texts import TEXT, saying, texts_of

Request = completion_pb2.CompletionRequest
EXAMPLES = 400
NAMES: dict[str, Any] = {
    "service_tier": "flex",
    "end_user_id": "u",
    "labels": {"team": "x"},
    "request_id": "r",
    "provider_options": {"note": {"of": ["x"]}},
}
TOOL: Any = {"name": "f", "description": "d", "parameters_json": '{"type":"object"}'}
STATE: Any = {"state_json": '{"extra":{"a":"b"}}', "provider": "sim"}
SOURCE: Any = {"type": "t", "url": "https://a.example", "title": "t", "cited_text": "c", **STATE}
TURNS: list[Any] = [
    {"role": "ROLE_SYSTEM", "parts": [{"text": "Be short."}]},
    {"role": "ROLE_USER", "name": "ann", "parts": [{"text": "hi"}]},
    {
        "role": "ROLE_ASSISTANT",
        "parts": [
            {"reasoning": {"text": "hm", "signature": "s", "redacted_data": "x", **STATE}},
            {"text": "so", "annotations": [SOURCE]},
            {"tool_call": {"id": "c", "name": "f", "arguments_json": "{}", **STATE}},
        ],
    },
    {"role": "ROLE_TOOL", "parts": [{"tool_result": {"tool_call_id": "c", "text": "done"}}]},
    {
        "role": "ROLE_USER",
        "parts": [
            {"uri": {"uri": "https://a.example/a.png", "media_type": "image/png", "detail": "low"}},
            {"blob": {"media_type": "image/png", "data": b"png", "detail": "low"}},
        ],
    },
]
SCHEMA: Any = {"json_schema": {"name": "s", "schema_json": '{"type":"object"}', "description": "d"}}
BODIES: list[dict[str, Any]] = [
    {"prompt": "hi", "stop": ["stop"], "fallback_models": ["n"]},
    {"messages": TURNS, "tools": [TOOL], "tool_choice": {"name": "f"}},
    {"prompt": "hi", "response_format": SCHEMA, "reasoning": {"effort": "low"}},
    {"prompt": "hi", "response_format": {"grammar": {"syntax": "gbnf", "definition": "g"}}},
]
REQUESTS = [Request(model="m", **body, **NAMES) for body in BODIES]
REFUSED = {"INVALID_FIELD", "MODEL_NOT_FOUND", "UNSUPPORTED_BY_TARGET"}


def texts_below(message: Descriptor, seen: set[str]) -> set[str]:
    seen.add(message.full_name)
    found = {field.full_name for field in message.fields if field.type == FieldDescriptor.TYPE_STRING}
    for field in message.fields:
        if field.message_type is not None and field.message_type.full_name not in seen:
            found |= texts_below(field.message_type, seen)
    return found


def requests(count: int) -> list[tuple[str, str, Request]]:
    """Each with one text that is anything: the field of it, the text, and the request."""
    chosen: list[tuple[str, str, Request]] = []
    places = [(request, place) for request in REQUESTS for place in range(len(texts_of(request)))]

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.sampled_from(places), TEXT)
    def choose(where: tuple[Request, int], text: str) -> None:
        request, place = where
        chosen.append((texts_of(request)[place], text, saying(request, place, text)))

    choose()
    return chosen


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("postgres_url")
    return {"HEADGATE_BILLING_STORE": url, "HEADGATE_BILLING_KEY_PEPPER": "p" * 32}


def section() -> dict[str, Any]:
    models = {"m": ["sim-small@tokens=1"], "n": ["sim-small@tokens=2"]}
    return router_section(models, allowed_provider_options=["note"], extensions=["grammar"])


async def watch_money(suite: InProcessSuite) -> None:
    budget = budget_pb2.Budget(budget_id="all", organization_id="acme", limit_nanos=10**12, soft=True)
    budget.period = budget_pb2.BUDGET_PERIOD_TOTAL
    await suite.billing.SetBudget(billing.SetBudgetRequest(budget=budget))


async def check_money(suite: InProcessSuite) -> None:
    """All that the simulator served is booked and spent, and nothing else; nothing is held, and billing refused nothing."""
    await all_settled(suite)
    entries = await suite.entries()
    assert {entry.record.attempt_id for entry in entries} >= suite.served().keys()
    told = (await suite.billing.GetBudget(billing.GetBudgetRequest(budget_id="all"))).budget
    assert (told.spent_nanos, told.held_nanos) == (sum(entry.cost.amount_nanos for entry in entries), 0)
    assert not (await suite.billing.ListHolds(billing.ListHoldsRequest())).holds
    refused: Any = suite.pipeline._settlements._on_refused.__self__  # type: ignore[attr-defined]
    assert [sample.value for each in refused.collect() for sample in each.samples][:1] == [0]


def test_every_text_of_a_request_has_its_turn() -> None:
    known = {name for request in REQUESTS for name in texts_of(request)}
    assert texts_below(Request.DESCRIPTOR, set()) == known


def test_a_message_can_carry_no_surrogate() -> None:
    with pytest.raises(UnicodeEncodeError):
        Request(end_user_id="\ud800")


async def refusal_of(suite: InProcessSuite, request: Request) -> str:
    """The reason; empty when it is answered."""
    try:
        await suite.router.Complete(request, metadata=suite.metadata)
    except grpc.aio.AioRpcError as error:
        read_refusal(error, refusal := Refusal())
        return refusal.reason
    return ""


async def test_every_request_that_is_answered_is_booked(
    start_router: StartRouter, environ: dict[str, str]
) -> None:
    answered: Counter[str] = Counter()
    asked = requests(EXAMPLES)
    async with start_router(section(), **environ) as suite:
        await watch_money(suite)

        async def ask(number: int) -> None:
            field, text, request = asked[number]
            # Else two that are in flight at once could be taken for one.
            request.request_id += f"-{number}"
            reason = await refusal_of(suite, request)
            assert reason in REFUSED | {""}, (field, text)
            answered[field] += not reason

        await many(ask, len(asked))
        await check_money(suite)
        assert len(await suite.entries()) >= answered.total() > EXAMPLES / 4
    request = Request.DESCRIPTOR.full_name
    for name in ("end_user_id", "service_tier", "LabelsEntry.key", "LabelsEntry.value", "prompt"):
        assert answered[f"{request}.{name}"]


CONTROL = ["\0", "a\0b", "\n", "\x1b[2J", "\x7f", "\x85", "\x9b31m"]


def named(text: str) -> dict[str, dict[str, Any]]:
    """Each name that a request can have, by the field that a refusal of it begins with."""
    return {
        "end_user_id": {"end_user_id": text},
        "service_tier": {"service_tier": text},
        "labels": {"labels": {text: "x"}},
        'labels["x"]': {"labels": {"x": text}},
    }


async def test_control_characters_in_names_are_refused_by_the_name_of_the_field(
    start_router: StartRouter,
) -> None:
    async with start_router(section()) as suite:
        for field, said in (each for text in CONTROL for each in named(text).items()):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await suite.router.Complete(Request(model="m", prompt="hi", **said), metadata=suite.metadata)
            read_refusal(caught.value, refusal := Refusal())
            assert (refusal.reason, refusal.code) == ("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT)
            assert refusal.message.startswith(field)
            assert "must not contain control characters" in refusal.message
        assert not suite.served()


async def test_the_ledgers_marks_are_nobody_elses(start_router: StartRouter) -> None:
    async with start_router(section()) as suite:
        for name in ("headgate/cleaned", "headgate/from-checkpoint", "headgate/"):
            request = Request(model="m", prompt="hi", labels={name: "true"})
            assert await refusal_of(suite, request) == "INVALID_FIELD"
        assert not suite.served()


NAMES_OF_PEOPLE = ["e\u0301", "Ünal", "שלום", "👩‍👩‍👧", "𓀀", "\uffff", "a\u202eb", "x" * 256, "é" * 256]


async def test_names_in_every_script_are_booked_as_they_are(start_router: StartRouter) -> None:
    assert not any(unicodedata.category(sign) == "Cc" for name in NAMES_OF_PEOPLE for sign in name)
    async with start_router(section()) as suite:
        await watch_money(suite)
        for name in NAMES_OF_PEOPLE:
            request = Request(model="m", prompt="hi", end_user_id=name, labels={name[:64]: name})
            await suite.router.Complete(request, metadata=suite.metadata)
        await check_money(suite)
        entries = await suite.entries()
        assert {entry.record.end_user_id for entry in entries} == set(NAMES_OF_PEOPLE)
        assert all(
            entry.record.labels == {n[:64]: n} for entry in entries for n in [entry.record.end_user_id]
        )
