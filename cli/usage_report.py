"""Usage and the ledger's rows, read from billing and shown as a table, as CSV or as JSON."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from google.protobuf.message import Message
from rich.table import Table

from cli import output
from cli.client import Peer
from cli.completions import cache_word
from cli.terminal import echo
from headgate.billing.v1 import billing_service_pb2 as pb
from headgate.billing.v1 import usage_pb2
from headgate.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from headgate.common.v1.outcome_pb2 import Outcome

_PAGE = 1000
_FIELDS = {
    "organization": "organization_id",
    "user": "user_id",
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "day": "day",
}


class Report(Protocol):
    """Rows of one kind in the three forms that `write` knows."""

    def messages(self) -> Sequence[Message]: ...

    def csv_rows(self) -> Iterator[Sequence[object]]:
        """The heading first; amounts in the units of the contract."""

    def table(self) -> Table: ...


def write(report: Report, *, as_csv: bool, as_json: bool) -> None:
    if as_json:
        output.print_json_list(report.messages())
    elif as_csv:
        echo(_as_csv(report.csv_rows()), end="")
    else:
        output.stdout().print(report.table())


def _as_csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def usage_filter(
    organization: str, user: str, key_id: str, model: str, since: datetime | None
) -> usage_pb2.UsageFilter:
    made = usage_pb2.UsageFilter(organization_id=organization, user_id=user, key_id=key_id, model=model)
    if since is not None:
        made.start_time.FromDatetime(since)
    return made


def dimensions(groups: Sequence[str]) -> list["usage_pb2.UsageDimension.ValueType"]:
    return [usage_pb2.UsageDimension.Value(f"USAGE_DIMENSION_{group.upper()}") for group in groups]


def sums(billing: Peer, matching: usage_pb2.UsageFilter, groups: Sequence[str]) -> list[usage_pb2.UsageRow]:
    stub = BillingServiceStub(billing.channel)
    request = pb.QueryUsageRequest(
        filter=matching,
        group_by=dimensions(groups),
        page_size=_PAGE,
    )
    rows: list[usage_pb2.UsageRow] = []
    while True:
        page = billing.call(stub.QueryUsage, request)
        rows += page.rows
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return rows


def ledger(billing: Peer, matching: usage_pb2.UsageFilter, last: int) -> list[usage_pb2.LedgerEntry]:
    """The newest `last` entries, newest first."""
    stub = BillingServiceStub(billing.channel)
    request = pb.ListUsageRequest(filter=matching)
    entries: list[usage_pb2.LedgerEntry] = []
    while len(entries) < last:
        request.page_size = min(_PAGE, last - len(entries))
        page = billing.call(stub.ListUsage, request)
        entries += page.entries
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    return entries


class SumReport:
    """Sums by dimension."""

    def __init__(
        self, rows: Sequence[usage_pb2.UsageRow], groups: Sequence[str], title: str | None = None
    ) -> None:
        self._rows = rows
        self._groups = list(groups)
        self._title = title

    def messages(self) -> Sequence[Message]:
        return self._rows

    def csv_rows(self) -> Iterator[Sequence[object]]:
        figures = (
            "attempts",
            "cache_hits",
            "input_tokens",
            "output_tokens",
            "cost_nanos",
            "unpriced_attempts",
        )
        yield [*self._groups, *figures]
        for row in self._rows:
            tokens = (row.usage.input_tokens, row.usage.output_tokens)
            yield [
                *self._names(row),
                row.attempts,
                row.cache_hits,
                *tokens,
                row.cost_nanos,
                row.unpriced_attempts,
            ]

    def table(self) -> Table:
        headings = [group.capitalize() for group in self._groups]
        figures = (">Attempts", ">From cache", ">Input tokens", ">Output tokens", ">Cost")
        table = output.table(*headings, *figures, title=self._title)
        for row in self._rows:
            table.add_row(*self._names(row), *_figures(row))
        if len(self._rows) > 1:
            table.add_section()
            table.add_row(*["total", *[""] * (len(self._groups) - 1)][: len(self._groups)], *self._totals())
        return table

    def _names(self, row: usage_pb2.UsageRow) -> list[str]:
        return [getattr(row, _FIELDS[group]) for group in self._groups]

    def _totals(self) -> list[str]:
        total = usage_pb2.UsageRow(
            attempts=sum(row.attempts for row in self._rows),
            cache_hits=sum(row.cache_hits for row in self._rows),
            cost_nanos=sum(row.cost_nanos for row in self._rows),
            unpriced_attempts=sum(row.unpriced_attempts for row in self._rows),
        )
        total.usage.input_tokens = sum(row.usage.input_tokens for row in self._rows)
        total.usage.output_tokens = sum(row.usage.output_tokens for row in self._rows)
        return _figures(total)


def _figures(row: usage_pb2.UsageRow) -> list[str]:
    unpriced = f" ({row.unpriced_attempts:,} without a price)" if row.unpriced_attempts else ""
    counts = (row.attempts, row.cache_hits, row.usage.input_tokens, row.usage.output_tokens)
    return [*(f"{count:,}" for count in counts), output.usd(row.cost_nanos) + unpriced]


class EntryReport:
    """The ledger's rows as they were booked."""

    def __init__(self, entries: Sequence[usage_pb2.LedgerEntry]) -> None:
        self._entries = entries

    def messages(self) -> Sequence[Message]:
        return self._entries

    def csv_rows(self) -> Iterator[Sequence[object]]:
        yield (
            *("attempt_id", "completion_id", "booked", "organization", "user", "key", "provider", "model"),
            *("input_tokens", "output_tokens", "outcome", "cache", "cost_nanos", "price_id"),
        )
        for entry in self._entries:
            record = entry.record
            yield (
                *(record.attempt_id, record.completion_id, entry.book_time.ToJsonString()),
                *(record.caller.organization_id, record.caller.user_id, record.caller.key_id),
                *(record.provider, record.model, record.usage.input_tokens, record.usage.output_tokens),
                *(output.word(Outcome, record.outcome), cache_word(record.cache_status)),
                *(entry.cost.amount_nanos, entry.cost.price_id),
            )

    def table(self) -> Table:
        table = output.table(
            "=Booked", "User", "=Key", "Model", ">Input", ">Output", "=Cache", "=Ended", ">Cost"
        )
        for entry in self._entries:
            record = entry.record
            table.add_row(
                output.moment(entry.book_time),
                f"{record.caller.organization_id}/{record.caller.user_id}",
                record.caller.key_id,
                record.model,
                f"{record.usage.input_tokens:,}",
                f"{record.usage.output_tokens:,}",
                cache_word(record.cache_status),
                output.word(Outcome, record.outcome),
                "no price" if entry.cost.unpriced else output.usd(entry.cost.amount_nanos),
            )
        return table
