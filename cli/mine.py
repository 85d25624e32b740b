"""What the router tells the owner of a key: whose it is, what it used, which limits and budgets bind it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from cli import output
from cli.client import Peer
from cli.errors import seconds_text
from cli.limits import counted, shown
from headgate.billing.v1 import usage_pb2
from headgate.billing.v1.budget_pb2 import BudgetPeriod
from headgate.router.v1 import mine_pb2 as pb
from headgate.router.v1.router_service_pb2_grpc import RouterServiceStub

_PAGE = 500
_BAR = 16


def myself(router: Peer) -> pb.Myself:
    asked = RouterServiceStub(router.channel).GetMyself
    return cast("pb.Myself", router.call(asked, pb.GetMyselfRequest()).myself)


def usage(router: Peer, request: pb.GetMyUsageRequest) -> tuple[list[usage_pb2.UsageRow], str]:
    """The rows of all pages, and of what they are the sums."""
    request.page_size = _PAGE
    pages = list(_pages(router, RouterServiceStub(router.channel).GetMyUsage, request))
    whose = output.word(pb.Scope, pages[0].scope)
    since = pages[0].start_time.ToJsonString()
    return [row for page in pages for row in page.rows], f"Usage of my {whose} since {since}"


def limits(router: Peer, model: str) -> list[pb.MyLimit]:
    asked = RouterServiceStub(router.channel).ListMyLimits
    request = pb.ListMyLimitsRequest(model=model, page_size=_PAGE)
    return [limit for page in _pages(router, asked, request) for limit in page.limits]


def budgets(router: Peer) -> list[pb.MyBudget]:
    asked = RouterServiceStub(router.channel).ListMyBudgets
    request = pb.ListMyBudgetsRequest(page_size=_PAGE)
    return [budget for page in _pages(router, asked, request) for budget in page.budgets]


def _pages(router: Peer, method: Callable[..., Any], request: Any) -> Iterator[Any]:
    while True:
        page = router.call(method, request)
        yield page
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


def identity(told: pb.Myself) -> Table:
    table = output.table("=Key", "Organisation", "User", "Name", "=Created", "=Expires")
    expires = output.moment(told.expire_time) if told.HasField("expire_time") else "never"
    created = output.moment(told.create_time)
    table.add_row(told.key_id, told.organization_id, told.user_id, told.display_name, created, expires)
    return table


def limits_table(told: Sequence[pb.MyLimit]) -> Table | str:
    """What is used of each limit, once for each model that it counts by itself."""
    if not told:
        return "no limit binds this key"
    table = output.table("Limit", "Model", "Counts", "Of", "=Used", ">Left", ">At most", ">Free again in")
    for limit in told:
        for standing in limit.standings:
            wait = standing.reset_after.ToNanoseconds() / 1e9
            table.add_row(
                _named(limit.limit_id, reports=limit.shadow),
                standing.model or "any",
                counted(limit.metric),
                _whose(limit.scope),
                bar(standing.used, limit.limit),
                shown(standing.remaining, limit.metric),
                shown(limit.limit, limit.metric),
                seconds_text(wait) if wait else "now",
            )
    return table


def budgets_table(told: Sequence[pb.MyBudget]) -> Table | str:
    if not told:
        return "no budget binds this key"
    table = output.table("Budget", "Of", "Per", "=Used", ">Spent", ">Held", ">Left", ">At most", "=Renewed")
    for budget in told:
        table.add_row(
            _named(budget.budget_id, reports=budget.soft),
            _whose(budget.scope),
            output.word(BudgetPeriod, budget.period),
            bar(budget.limit_nanos - budget.remaining_nanos, budget.limit_nanos),
            *map(
                output.usd,
                (budget.spent_nanos, budget.held_nanos, budget.remaining_nanos, budget.limit_nanos),
            ),
            output.moment(budget.reset_time) if budget.HasField("reset_time") else "never",
        )
    return table


def bar(used: int, limit: int) -> Text:
    """`████░░░░ 50%`; anything used shows, and only what is full looks full."""
    share = min(1.0, used / limit) if limit else 1.0
    filled = min(_BAR - (share < 1), max(int(used > 0), round(share * _BAR)))
    color = "green" if share < 0.75 else "yellow" if share < 1 else "red"  # noqa: PLR2004 - three quarters
    return output.styled(("█" * filled, color), ("░" * (_BAR - filled), "dim"), f" {int(share * 100):>3}%")


def _named(name: str, *, reports: bool) -> str:
    return f"{name} (only reports)" if reports else name


def _whose(scope: "pb.Scope.ValueType") -> str:
    if scope == pb.SCOPE_INSTALLATION:
        return "everybody"
    return f"my {output.word(pb.Scope, scope)}"
