"""`headgate usage`: who used what, and what it cost."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DEFAULT_DATA_DIR, Billing, DataDir, Json, Router, has_internal_token, peer
from cli.periods import since as parse_since

if TYPE_CHECKING:
    from cli.usage_report import SumReport


class GroupChoice(StrEnum):
    """Words for UsageDimension."""

    DAY = "day"
    ORGANIZATION = "organization"
    USER = "user"
    KEY = "key"
    MODEL = "model"
    PROVIDER = "provider"


class ScopeChoice(StrEnum):
    """Words for Scope."""

    KEY = "key"
    USER = "user"
    ORGANIZATION = "organization"


def _moment(text: str) -> datetime:
    return parse_since(text, datetime.now(UTC))


def _groups(texts: list[str]) -> list[GroupChoice]:
    words = [word.strip().lower() for word in ",".join(texts).split(",") if word.strip()]
    unknown = [word for word in words if word not in list(GroupChoice)]
    if unknown:
        raise typer.BadParameter(f"`{unknown[0]}` is none of {', '.join(GroupChoice)}")
    return [GroupChoice(word) for word in dict.fromkeys(words)]


def usage(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="DIMENSIONS",
            help=f"Any of {', '.join(GroupChoice)}; comma between, or repeated. Default: day,model.",
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=_moment, metavar="WHEN", help="A day, a moment, or how long ago, such as 7d."),
    ] = None,
    mine: Annotated[
        ScopeChoice | None,
        typer.Option(
            "--mine",
            help="Only what this key used, or its user, or its organisation, by default in this month. An API key is enough. "
            "Without the services' internal token at hand this is what is shown, of the key.",
        ),
    ] = None,
    organization: Annotated[str, typer.Option("--org", help="Only of this organisation.")] = "",
    user: Annotated[str, typer.Option("--user", help="Only of this user.")] = "",
    key: Annotated[str, typer.Option("--key", help="Only of this key.")] = "",
    model: Annotated[str, typer.Option("--model", help="Only of this provider's model.")] = "",
    entries: Annotated[bool, typer.Option("--entries", help="The ledger's rows instead of sums.")] = False,
    last: Annotated[int, typer.Option("--last", min=1, help="With --entries: so many, the newest.")] = 20,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    as_json: Json = False,
    router: Router = None,
    billing: Billing = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show what was used and what it cost: of everybody, or with --mine one's own."""
    groups = _groups(by or ["day", "model"])
    if csv and as_json:
        raise typer.BadParameter("give either --csv or --json")
    needs_billing = bool(organization or user or key or entries)
    if mine and needs_billing:
        raise typer.BadParameter("--mine goes with none of --org, --user, --key and --entries")
    from cli import accounts, usage_report

    report: usage_report.Report
    if mine or not (needs_billing or billing or has_internal_token(data_dir)):
        report = _own(mine or ScopeChoice.KEY, groups, since, model, router, data_dir)
        return usage_report.write(report, as_csv=csv, as_json=as_json)
    matching = usage_report.usage_filter(organization, user, accounts.key_id_of(key), model, since)
    with peer("billing", billing, data_dir) as asked:
        report = (
            usage_report.EntryReport(usage_report.ledger(asked, matching, last))
            if entries
            else usage_report.SumReport(usage_report.sums(asked, matching, groups), groups)
        )
    return usage_report.write(report, as_csv=csv, as_json=as_json)


def _own(
    scope: ScopeChoice,
    groups: list[GroupChoice],
    since: datetime | None,
    model: str,
    router: str | None,
    data_dir: Path,
) -> "SumReport":
    from cli import mine, usage_report
    from headgate.router.v1 import mine_pb2 as pb

    request = pb.GetMyUsageRequest(
        scope=pb.Scope.Value(f"SCOPE_{scope.name}"), group_by=usage_report.dimensions(groups), model=model
    )
    if since is not None:
        request.start_time.FromDatetime(since)
    with peer("router", router, data_dir) as asked:
        rows, title = mine.usage(asked, request)
    return usage_report.SumReport(rows, groups, title)
