"""What is wrong with a request is said by status, reason and field."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from headgate.billing.v1 import account_service_pb2, account_service_pb2_grpc
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.billing.v1 import usage_pb2 as billing_usage
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.chat.v1 import message_pb2
from headgate.common.v1 import caller_pb2, outcome_pb2, usage_pb2
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.ratelimit.v1.ratelimit_service_pb2_grpc import RateLimitServiceStub
from headgate.router.v1 import completion_pb2
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub
from tests.support.accounting import router_section
from tests.support.grpc_aio import GrpcStart, LoopThread
from tests.support.in_process import InProcessSuite, in_process
from tests.support.rpc_errors import refused
from tests.support.waiting import until

INVALID, UNAUTHENTICATED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED
SECTION = router_section({"m": ["sim-small@tokens=3"], "garbage": ["sim-small@garbage"]})
GRPCURL = shutil.which("grpcurl")
MIB = 1024 * 1024


class Stage:
    """The suite that the module's server is, once it has started."""

    suite: InProcessSuite

    @property
    def key(self) -> Any:
        return self.suite.metadata

    def address(self, name: str) -> str:
        return self.suite.services[name].address


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def grpc_start(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> GrpcStart:
    @asynccontextmanager
    async def start() -> AsyncIterator[int]:
        environ = {"HEADGATE_ROUTER_KEY_FRESH_SECONDS": "0"}
        async with in_process(tmp_path_factory.mktemp("bad-input"), SECTION, environ) as stage.suite:
            yield stage.suite.services["router"].port

    return start


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[RouterServiceStub]:
    return RouterServiceStub


def ask(**fields: Any) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(**{"model": "m", "prompt": "hi", **fields})


def turn(role: int, **part: Any) -> dict[str, Any]:
    return {"role": role, "parts": [part]}


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        pytest.param(completion_pb2.CompletionRequest(), {"model", "prompt", "messages"}, id="empty"),
        pytest.param(ask(prompt=""), {"prompt", "messages"}, id="neither prompt nor messages"),
        pytest.param(
            ask(messages=[turn(message_pb2.ROLE_USER, text="hi")]),
            {"prompt", "messages"},
            id="prompt and messages",
        ),
        pytest.param(ask(temperature=2.5), {"temperature"}, id="temperature too high"),
        pytest.param(ask(temperature=float("nan")), {"temperature"}, id="temperature that is no number"),
        pytest.param(ask(max_output_tokens=-1), {"max_output_tokens"}, id="negative tokens"),
        pytest.param(ask(prompt="x" * (25 * MIB)), {"prompt"}, id="25 MiB"),
        pytest.param(ask(prompt="", messages=[turn(0, text="hi")]), {"messages[0].role"}, id="no role"),
        pytest.param(
            ask(
                prompt="",
                messages=[turn(message_pb2.ROLE_TOOL, tool_result=message_pb2.ToolResult(tool_call_id="c9"))],
            ),
            {"messages[0].parts[0].tool_result.tool_call_id"},
            id="result of an unknown call",
        ),
        pytest.param(
            ask(tools=[{"name": "a"}], tool_choice={"name": "b"}), {"tool_choice.name"}, id="unknown tool"
        ),
    ],
)
@pytest.mark.parametrize("method", ["Complete", "StreamComplete"])
def test_a_request_that_breaks_the_contract(
    grpc_stub: Any, stage: Stage, method: str, request_: completion_pb2.CompletionRequest, fields: set[str]
) -> None:
    with refused() as refusal:
        answer = getattr(grpc_stub, method)(request_, metadata=stage.key)
        list(answer)
    assert (refusal.code, refusal.reason, refusal.domain) == (INVALID, "INVALID_FIELD", "router.headgate")
    assert set(refusal.fields) == fields


def test_an_unknown_model(grpc_stub: Any, stage: Stage) -> None:
    with refused() as refusal:
        grpc_stub.Complete(ask(model="gpt-9"), metadata=stage.key)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert refusal.fields == ("model",)
    assert "garbage, m" in refusal.message


def test_text_that_is_not_utf8_on_the_wire(grpc_channel: Any, stage: Stage) -> None:
    complete = grpc_channel.unary_unary("/headgate.router.v1.RouterService/Complete")
    with refused() as refusal:
        complete(b"\x0a\x01m\x12\x02\xff\xfe", metadata=stage.key)
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert "UTF-8" in refusal.message


@pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed")
def test_text_that_is_not_utf8_in_json(grpc_addr: str, stage: Stage) -> None:
    """Grpcurl replaces what is not UTF-8 or refuses it; whichever it does, the router answers and lives."""
    assert GRPCURL is not None
    (_, bearer), *_ = stage.key
    command = [GRPCURL, "-plaintext", "-H", f"authorization: {bearer}", "-d", "@", grpc_addr]
    method = "headgate.router.v1.RouterService/Complete"
    broken = subprocess.run(
        [*command, method], input=b'{"model": "m", "prompt": "\xff\xfe"}', capture_output=True, check=False
    )
    if broken.returncode:
        assert b"InvalidArgument" in broken.stderr or b"UTF-8" in broken.stderr
    sound = subprocess.run(
        [*command, method], input=b'{"model": "m", "prompt": "hi"}', capture_output=True, check=True
    )
    assert json.loads(sound.stdout)["finished"]["outcome"] == "OUTCOME_COMPLETE"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "MISSING_CREDENTIALS"),
        ((("authorization", "Basic x"),), "MISSING_CREDENTIALS"),
        ((("authorization", "Bearer hg_nobody_knows"),), "INVALID_KEY"),
    ],
)
def test_an_unknown_key(grpc_stub: Any, metadata: Any, reason: str) -> None:
    with refused() as refusal:
        grpc_stub.Complete(ask(), metadata=metadata)
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, reason)


def test_a_revoked_key(grpc_stub: Any, stage: Stage, grpc_loop: LoopThread) -> None:
    metadata, caller = grpc_loop.run(stage.suite.new_key("revoked"))
    grpc_stub.Complete(ask(), metadata=metadata)
    with grpc.insecure_channel(stage.address("billing")) as channel:
        accounts = account_service_pb2_grpc.AccountServiceStub(channel)
        accounts.RevokeKey(account_service_pb2.RevokeKeyRequest(key_id=caller.key_id))
    with refused() as refusal:
        grpc_stub.Complete(ask(), metadata=metadata)
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "KEY_REVOKED")


def test_negative_tokens_to_the_rate_limiter(grpc_stub: Any, stage: Stage) -> None:
    amounts = ratelimit.Amounts(input_tokens=-1)
    request = ratelimit.ReserveRequest(
        reservation_id="r", caller=caller_pb2.Caller(organization_id="acme"), amounts=amounts
    )
    with grpc.insecure_channel(stage.address("ratelimit")) as channel, refused() as refusal:
        RateLimitServiceStub(channel).Reserve(request)
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert refusal.fields == ("amounts.input_tokens",)


def test_negative_tokens_to_billing(grpc_stub: Any, stage: Stage) -> None:
    record = billing_usage.UsageRecord(
        attempt_id="a",
        completion_id="c",
        caller=caller_pb2.Caller(organization_id="acme"),
        provider="sim",
        model="sim-small",
        usage=usage_pb2.TokenUsage(output_tokens=-1),
        outcome=outcome_pb2.OUTCOME_COMPLETE,
    )
    record.start_time.FromSeconds(1)
    record.end_time.FromSeconds(2)
    with grpc.insecure_channel(stage.address("billing")) as channel, refused() as refusal:
        BillingServiceStub(channel).Capture(billing.CaptureRequest(records=[record]))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_FIELD")
    assert "records[0].usage.output_tokens" in refusal.fields


@pytest.mark.parametrize("method", ["Complete", "StreamComplete"])
def test_a_provider_that_answers_garbage(grpc_stub: Any, stage: Stage, method: str) -> None:
    with refused() as refusal:
        list(getattr(grpc_stub, method)(ask(model="garbage"), metadata=stage.key))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_HEALTHY_TARGET")
    assert refusal.retry_seconds is not None
    assert "malformed" in refusal.message


def test_nothing_of_this_was_reserved_held_or_billed_for_good(stage: Stage, grpc_stub: Any) -> None:
    assert not {"open", "orphaned"} & set(stage.suite.holds())
    # The settlement of what failed follows the answer within milliseconds.
    asyncio.run(until(lambda: not stage.suite.reservations()["open"], "the end of every reservation"))
