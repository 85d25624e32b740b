"""What of a request reaches a provider because the configuration says so, and what its caller hears when it does not."""

from typing import Any

import grpc
import pytest

from headgate.chat.v1 import message_pb2
from headgate.router.v1 import completion_pb2, router_service_pb2
from tests.service.router.conftest import StartRouter
from tests.support.accounting import all_settled, ask, router_section
from tests.support.rpc_errors import refused

MODELS = {"m": ["sim-small@tokens=4"]}
URI = "messages[0].parts[0].uri.uri"


def with_options(options: dict[str, Any], **fields: Any) -> completion_pb2.CompletionRequest:
    request = ask("m", **fields)
    request.provider_options.update(options)
    return request


def picture(uri: str) -> message_pb2.Message:
    part = message_pb2.Part(uri=message_pb2.Uri(uri=uri))
    return message_pb2.Message(role=message_pb2.ROLE_USER, parts=[part])


async def test_options_pass_when_the_operator_allows_them(start_router: StartRouter) -> None:
    section = router_section(MODELS, allowed_provider_options=["min_p", "best_of"])
    async with start_router(section) as suite:
        request = with_options({"min_p": 0.1, "best_of": 4}, max_output_tokens=8)
        answer = await suite.router.Complete(request, metadata=suite.metadata)
        assert answer.finished.usage.output_tokens == 4
        for options, reason in (
            ({"store": True}, "UNSUPPORTED_BY_TARGET"),
            ({"best_of": 1.5}, "INVALID_FIELD"),
            ({"max_tokens": 9}, "UNSUPPORTED_BY_TARGET"),
        ):
            with refused() as refusal:
                await suite.router.Complete(with_options(options), metadata=suite.metadata)
            assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
            assert refusal.reason == reason
            assert refusal.fields == (f"provider_options.{next(iter(options))}",)
        await all_settled(suite)


async def test_no_option_passes_by_default(start_router: StartRouter) -> None:
    async with start_router(router_section(MODELS)) as suite:
        with refused() as refusal:
            await suite.router.Complete(with_options({"min_p": 0.1}), metadata=suite.metadata)
        assert refusal.fields == ("provider_options.min_p",)
        assert "`allowed_provider_options`" in refusal.message


@pytest.mark.parametrize("method", ["Complete", "CountTokens"])
async def test_a_provider_is_asked_to_fetch_from_public_hosts_and_named_ones_alone(
    start_router: StartRouter, method: str
) -> None:
    asking = (
        completion_pb2.CompletionRequest if method == "Complete" else router_service_pb2.CountTokensRequest
    )
    section = router_section(MODELS, media_sources=["https://*", "http://images.internal:8080"])
    async with start_router(section) as suite:
        call = getattr(suite.router, method)
        for uri in ("https://images.example/a.png", "http://images.internal:8080/a.png"):
            await call(asking(model="m", messages=[picture(uri)]), metadata=suite.metadata)
        for uri, reason, remedy in (
            ("http://169.254.169.254/latest/meta-data/", "UNSUPPORTED_BY_TARGET", "`media_sources`"),
            ("https://images.internal/a.png", "UNSUPPORTED_BY_TARGET", "`blob`"),
            ("https://2130706433/a.png", "INVALID_FIELD", "write its host"),
            ("https://a.example/\r\nHost: b", "INVALID_FIELD", "percent-encode"),
            ("data:image/png;base64,AAE=", "INVALID_FIELD", "`blob`"),
            ("file:///etc/passwd", "INVALID_FIELD", "`blob`"),
        ):
            with refused() as refusal:
                await call(asking(model="m", messages=[picture(uri)]), metadata=suite.metadata)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
            assert refusal.fields == (URI,)
            assert remedy in refusal.message
        await all_settled(suite)
