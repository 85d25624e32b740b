"""What a caller may know of itself: whose key it presented, what it used, and which limits and budgets bind it.

Who the caller is comes from its key alone, so that whatever a request says, nobody is shown anybody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from headgate.billing.v1 import account_service_pb2 as accounts
from headgate.billing.v1 import billing_service_pb2 as billing
from headgate.common.v1.caller_pb2 import Caller
from headgate.ratelimit.v1 import ratelimit_service_pb2 as ratelimit
from headgate.router.v1 import mine_pb2
from services._runtime.errors import FieldViolation
from services.router.accounts.my_budgets import budget_told
from services.router.accounts.my_limits import limits_told, tells_models_apart
from services.router.accounts.my_usage import scope_of, usage_question
from services.router.errors import ModelNotFoundError

# As many as one Peek takes.
_MODELS_AT_ONCE = 256


class Records(Protocol):
    """What the peers keep of callers; semantics in headgate.billing.v1 and headgate.ratelimit.v1.

    What is awaited raises GatewayError: the peer's own refusal, or PEER_UNAVAILABLE with the peer's name.
    """

    def key(self, request: accounts.GetKeyRequest) -> Awaitable[accounts.GetKeyResponse]: ...

    def usage(self, request: billing.QueryUsageRequest) -> Awaitable[billing.QueryUsageResponse]: ...

    def budgets(self, request: billing.ListBudgetsRequest) -> Awaitable[billing.ListBudgetsResponse]: ...

    def limits(self, request: ratelimit.ListLimitsRequest) -> Awaitable[ratelimit.ListLimitsResponse]: ...

    def peek(self, request: ratelimit.PeekRequest) -> Awaitable[ratelimit.PeekResponse]: ...


class Mine:
    """`models`: what requests can name. `now_ns` tells nanoseconds since 1970."""

    def __init__(self, records: Records, models: Collection[str], now_ns: Callable[[], int]) -> None:
        self._records = records
        self._models = models
        self._now_ns = now_ns

    async def myself(self, caller: Caller) -> mine_pb2.GetMyselfResponse:
        key = (await self._records.key(accounts.GetKeyRequest(key_id=caller.key_id))).key
        myself = mine_pb2.Myself(
            organization_id=caller.organization_id,
            user_id=caller.user_id,
            key_id=caller.key_id,
            display_name=key.display_name,
            create_time=key.create_time,
            expire_time=key.expire_time if key.HasField("expire_time") else None,
        )
        return mine_pb2.GetMyselfResponse(myself=myself)

    async def usage(self, caller: Caller, request: mine_pb2.GetMyUsageRequest) -> mine_pb2.GetMyUsageResponse:
        """:raises InvalidFieldError: the answer would show others, or is of no time."""
        question = usage_question(caller, request, self._now_ns())
        answer = await self._records.usage(question)
        return mine_pb2.GetMyUsageResponse(
            rows=answer.rows,
            next_page_token=answer.next_page_token,
            start_time=question.filter.start_time,
            scope=scope_of(request),
        )

    async def limits(
        self, caller: Caller, request: mine_pb2.ListMyLimitsRequest
    ) -> mine_pb2.ListMyLimitsResponse:
        """:raises ModelNotFoundError: there is no such model to be limited."""
        models = self._models_of(request)
        page = await self._records.limits(
            ratelimit.ListLimitsRequest(
                page_size=request.page_size,
                page_token=request.page_token,
                caller=caller,
                labels=request.labels,
            )
        )
        asked = models if any(map(tells_models_apart, page.limits)) else []
        peeks = [
            self._records.peek(
                ratelimit.PeekRequest(
                    caller=caller, labels=request.labels, models=asked[start : start + _MODELS_AT_ONCE]
                )
            )
            for start in range(0, max(1, len(asked)), _MODELS_AT_ONCE)
            if page.limits
        ]
        statuses = [status for peeked in await asyncio.gather(*peeks) for status in peeked.statuses]
        return mine_pb2.ListMyLimitsResponse(
            limits=limits_told(page.limits, statuses), next_page_token=page.next_page_token
        )

    async def budgets(
        self, caller: Caller, request: mine_pb2.ListMyBudgetsRequest
    ) -> mine_pb2.ListMyBudgetsResponse:
        page = await self._records.budgets(
            billing.ListBudgetsRequest(
                page_size=request.page_size, page_token=request.page_token, caller=caller
            )
        )
        return mine_pb2.ListMyBudgetsResponse(
            budgets=map(budget_told, page.budgets), next_page_token=page.next_page_token
        )

    def _models_of(self, request: mine_pb2.ListMyLimitsRequest) -> list[str]:
        if not request.model:
            return sorted(self._models)
        if request.model not in self._models:
            raise ModelNotFoundError(
                f"no model or alias `{request.model}`",
                field_violations=[FieldViolation("model", "ListModels has them all")],
            )
        return [request.model]
