"""How many input tokens a request would have: by the provider where it can be asked, else estimated."""

from headgate.common.v1 import usage_pb2
from headgate.router.v1 import completion_pb2, router_service_pb2
from services.router.targets.catalog import Catalog
from services.router.targets.provider import ProviderError
from services.router.targets.routing import make_plan, normalise


async def count_tokens(
    request: router_service_pb2.CountTokensRequest, catalog: Catalog
) -> tuple[int, usage_pb2.UsageSource.ValueType]:
    """Tokens, and who counted. A provider that fails to count is no failure: the estimate stands in.

    :raises GatewayError: as a completion of the same conversation would.
    """
    asked = normalise(
        completion_pb2.CompletionRequest(
            model=request.model, prompt=request.prompt, messages=request.messages, tools=request.tools
        )
    )
    plan = make_plan(asked, catalog)
    first = plan.targets[0]
    try:
        counted = await first.provider.count_tokens(first.model, asked)
    except ProviderError:
        counted = None
    if counted is None:
        return plan.input_tokens, usage_pb2.USAGE_SOURCE_ESTIMATED
    return counted, usage_pb2.USAGE_SOURCE_PROVIDER
