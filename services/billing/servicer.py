"""BillingService over the ports: messages in, messages out."""

# ruff: noqa: N802, ARG002 - the methods are named and called as the contract has them

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import usage_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceServicer
from services.billing.batches import post_readable
from services.billing.books import Authorized, Capture, Captured, HoldState, Operation, Voided
from services.billing.errors import NotInThisVersionError
from services.billing.paging import page_size, read_token, write_token
from services.billing.posting_messages import (
    read_authorize,
    read_capture,
    read_void,
    succeeded,
    write_authorize_results,
    write_authorized,
    write_capture_results,
    write_captured,
    write_record_results,
)
from services.billing.prices import place
from services.billing.resource_messages import (
    budget_message,
    hold_message,
    price_message,
    read_budget,
    read_payer,
    read_price,
)
from services.billing.store import BudgetStore, LedgerStore, PriceStore
from services.billing.usage import Dimension, EntryPosition, UsageQuery
from services.billing.usage_messages import entry_message, read_filter, read_record, sum_message

SERVICE = pb.DESCRIPTOR.services_by_name["BillingService"].full_name

# Each item of these is validated by itself, so that a bad one does not fail its neighbours.
TRUSTED_METHODS = frozenset(
    f"/{SERVICE}/{name}" for name in ("BatchAuthorize", "BatchCapture", "Exchange", "RecordUsage")
)


def _read_recording(record: usage_pb2.UsageRecord) -> Capture:
    return Capture("", (read_record(record, ""),))


class BillingServicer(BillingServiceServicer):
    def __init__(
        self, ledger: LedgerStore, budgets: BudgetStore, prices: PriceStore, now_ns: Callable[[], int]
    ) -> None:
        self._ledger = ledger
        self._budgets = budgets
        self._prices = prices
        self._now_ns = now_ns

    async def Authorize(self, request: pb.AuthorizeRequest, context: Any) -> pb.AuthorizeResponse:
        (result,) = await self._ledger.post([read_authorize(request)])
        response = pb.AuthorizeResponse()
        write_authorized(response, succeeded(result, Authorized))
        return response

    async def Capture(self, request: pb.CaptureRequest, context: Any) -> pb.CaptureResponse:
        (result,) = await self._ledger.post([read_capture(request)])
        response = pb.CaptureResponse()
        write_captured(response, succeeded(result, Captured))
        return response

    async def Void(self, request: pb.VoidRequest, context: Any) -> pb.VoidResponse:
        (result,) = await self._ledger.post([read_void(request)])
        return pb.VoidResponse(voided=succeeded(result, Voided).voided)

    async def ListHolds(self, request: pb.ListHoldsRequest, context: Any) -> pb.ListHoldsResponse:
        question, size = ("ListHolds", request.organization_id, request.state), page_size(request.page_size)
        after = read_token(question, request.page_token, tuple[int, str]) or (-1, "")
        state = HoldState(request.state) if request.state else None
        found = await self._ledger.unresolved_holds(request.organization_id, state, after, size + 1)
        page, token = found[:size], ""
        if len(found) > size:
            token = write_token(question, (page[-1].expire_ns, page[-1].hold_id))
        return pb.ListHoldsResponse(holds=map(hold_message, page), next_page_token=token)

    async def BatchAuthorize(
        self, request: pb.BatchAuthorizeRequest, context: Any
    ) -> pb.BatchAuthorizeResponse:
        results = await post_readable(request, [(request.requests, read_authorize)], self._ledger.post)
        response = pb.BatchAuthorizeResponse()
        write_authorize_results(results, response.results)
        return response

    async def BatchCapture(self, request: pb.BatchCaptureRequest, context: Any) -> pb.BatchCaptureResponse:
        results = await post_readable(request, [(request.requests, read_capture)], self._ledger.post)
        response = pb.BatchCaptureResponse()
        write_capture_results(results, response.results)
        return response

    async def Exchange(self, request: pb.ExchangeRequest, context: Any) -> pb.ExchangeResponse:  # type: ignore[override]
        captures, authorizations = request.capture.requests, request.authorize.requests
        parts: list[tuple[Sequence[Any], Callable[[Any], Operation]]]
        parts = [(captures, read_capture), (authorizations, read_authorize)]
        results = await post_readable(request, parts, self._ledger.post)
        response = pb.ExchangeResponse()
        if captures:
            write_capture_results(results[: len(captures)], response.capture.results)
        if authorizations:
            write_authorize_results(results[len(captures) :], response.authorize.results)
        return response

    async def RecordUsage(self, request: pb.RecordUsageRequest, context: Any) -> pb.RecordUsageResponse:
        results = await post_readable(request, [(request.records, _read_recording)], self._ledger.post)
        response = pb.RecordUsageResponse()
        write_record_results(results, response.results)
        return response

    async def QueryUsage(self, request: pb.QueryUsageRequest, context: Any) -> pb.QueryUsageResponse:
        where, group_by = read_filter(request.filter), [Dimension(each) for each in request.group_by]
        question, size = ("QueryUsage", where, group_by), page_size(request.page_size)
        until, offset = read_token(question, request.page_token, tuple[int, int]) or (self._now_ns(), 0)
        sums = await self._ledger.sums(UsageQuery(where, group_by, until), offset, size + 1)
        token = write_token(question, (until, offset + size)) if len(sums) > size else ""
        return pb.QueryUsageResponse(
            rows=[sum_message(group_by, each) for each in sums[:size]], next_page_token=token
        )

    async def ListUsage(self, request: pb.ListUsageRequest, context: Any) -> pb.ListUsageResponse:
        where, size = read_filter(request.filter), page_size(request.page_size)
        question = ("ListUsage", where)
        after = read_token(question, request.page_token, EntryPosition)
        entries = await self._ledger.entries(where, after, size + 1)
        page, token = entries[:size], ""
        if len(entries) > size:
            token = write_token(question, EntryPosition(page[-1].record.end_ns, page[-1].record.attempt_id))
        return pb.ListUsageResponse(entries=map(entry_message, page), next_page_token=token)

    async def ListPrices(self, request: pb.ListPricesRequest, context: Any) -> pb.ListPricesResponse:
        question, size = ("ListPrices", request.provider, request.model), page_size(request.page_size)
        after = read_token(question, request.page_token, tuple[str, str, int, str])
        found = [
            price
            for price in await self._prices.prices()
            if request.provider in ("", price.provider)
            and request.model in ("", price.model)
            and (after is None or place(price) > after)
        ]
        token = write_token(question, place(found[size - 1])) if len(found) > size else ""
        return pb.ListPricesResponse(prices=map(price_message, found[:size]), next_page_token=token)

    async def SetPrice(self, request: pb.SetPriceRequest, context: Any) -> pb.SetPriceResponse:
        price = read_price(request.price)
        await self._prices.add_price(price)
        return pb.SetPriceResponse(price=price_message(price))

    async def SetBudget(self, request: pb.SetBudgetRequest, context: Any) -> pb.SetBudgetResponse:
        return pb.SetBudgetResponse(
            budget=budget_message(await self._budgets.put_budget(read_budget(request.budget)))
        )

    async def GetBudget(self, request: pb.GetBudgetRequest, context: Any) -> pb.GetBudgetResponse:
        return pb.GetBudgetResponse(budget=budget_message(await self._budgets.budget(request.budget_id)))

    async def ListBudgets(self, request: pb.ListBudgetsRequest, context: Any) -> pb.ListBudgetsResponse:
        caller, size = read_payer(request), page_size(request.page_size)
        question = ("ListBudgets", request.organization_id, caller)
        after = read_token(question, request.page_token, str) or ""
        found = await self._budgets.budgets(request.organization_id, after, size + 1, caller)
        token = write_token(question, found[size - 1].budget.budget_id) if len(found) > size else ""
        return pb.ListBudgetsResponse(budgets=map(budget_message, found[:size]), next_page_token=token)

    async def DeleteBudget(self, request: pb.DeleteBudgetRequest, context: Any) -> pb.DeleteBudgetResponse:
        await self._budgets.delete_budget(request.budget_id, request.etag)
        return pb.DeleteBudgetResponse()

    def ExportUsage(
        self, request: pb.ExportUsageRequest, context: Any
    ) -> AsyncIterator[pb.ExportUsageResponse]:
        raise NotInThisVersionError("ExportUsage is not in this version; ListUsage has the same entries")

    def WatchAlerts(
        self, request: pb.WatchAlertsRequest, context: Any
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        raise NotInThisVersionError("WatchAlerts is not in this version; GetBudget says what is spent")
