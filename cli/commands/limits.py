"""`headgate limits`: how much may be used, and how much is left."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.options import DEFAULT_DATA_DIR, DataDir, Json, RateLimit, Router, peer
from cli.terminal import echo

app = typer.Typer(
    help="Show what is left for this key, for which it is enough; list, set and delete everybody's limits."
)


class MetricChoice(StrEnum):
    """Words for Metric."""

    REQUESTS = "requests"
    INPUT_TOKENS = "input-tokens"
    OUTPUT_TOKENS = "output-tokens"
    TOTAL_TOKENS = "total-tokens"
    COST = "cost"


class DimensionChoice(StrEnum):
    """Words for Dimension."""

    ORGANIZATION = "organization"
    USER = "user"
    KEY = "key"
    MODEL = "model"


class LossChoice(StrEnum):
    """Words for StoreLossPolicy."""

    OPEN = "open"
    CLOSED = "closed"


@app.callback(invoke_without_command=True)
def show(
    ctx: typer.Context,
    model: Annotated[str, typer.Option("--model", help="Only limits of requests for this model.")] = "",
    as_json: Json = False,
    router: Router = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show how the limits that bind this key stand; the commands below see and change all limits."""
    if ctx.invoked_subcommand is not None:
        return
    from cli import mine, output

    with peer("router", router, data_dir) as asked:
        told = mine.limits(asked, model)
    if as_json:
        output.print_json_list(told)
    else:
        output.stdout().print(mine.limits_table(told))


@app.command("list")
def list_limits(
    as_json: Json = False, ratelimit: RateLimit = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """List every limit of the installation."""
    from cli import limits, output

    with peer("ratelimit", ratelimit, data_dir) as asked:
        found = list(limits.every(asked))
    if as_json:
        return output.print_json_list(found)
    return output.stdout().print(limits.declared(found))


@app.command("set")
def set_limit(
    limit_id: Annotated[str, typer.Argument(metavar="LIMIT", help="Its name, such as team-a/requests.")],
    metric: Annotated[
        MetricChoice, typer.Option("--metric", help="What is counted.")
    ] = MetricChoice.REQUESTS,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT/PERIOD", help="Refills steadily, such as 60/1m; cost in dollars: 0.5/1h."
        ),
    ] = None,
    burst: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="The most at once, with --rate; default: its amount.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT/PERIOD", help="Never more than this in any such period."),
    ] = None,
    per: Annotated[
        list[DimensionChoice] | None,
        typer.Option("--per", help="Count each of these by itself (repeatable)."),
    ] = None,
    organization: Annotated[str, typer.Option("--org", help="Bind only this organisation.")] = "",
    user: Annotated[str, typer.Option("--user", help="Bind only this user.")] = "",
    key: Annotated[str, typer.Option("--key", help="Bind only this key.")] = "",
    model: Annotated[str, typer.Option("--model", help="Bind only this model.")] = "",
    shadow: Annotated[bool, typer.Option("--shadow", help="Count and report, never refuse.")] = False,
    store_loss_policy: Annotated[
        LossChoice | None,
        typer.Option(
            help="While it can't be decided: admit or refuse. Default: as HEADGATE_ROUTER_LIMITS_LOST says."
        ),
    ] = None,
    as_json: Json = False,
    ratelimit: RateLimit = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Create or replace a limit."""
    if (rate is None) == (window is None):
        raise typer.BadParameter("give either --rate or --window, such as --rate 60/1m")
    if burst is not None and rate is None:
        raise typer.BadParameter("--burst belongs to --rate")
    from cli import accounts, limits, output

    limit = limits.build(limit_id, metric.value, rate=rate, burst=burst, window=window)
    limit.per.extend(limits.dimension(each.value) for each in per or ())
    limit.shadow = shadow
    if store_loss_policy is not None:
        limit.store_loss_policy = limits.loss_policy(store_loss_policy.value)
    selected = {
        "organization_id": organization,
        "user_id": user,
        "key_id": accounts.key_id_of(key),
        "model": model,
    }
    limits.select(limit, selected)
    with peer("ratelimit", ratelimit, data_dir) as asked:
        kept = limits.put(asked, limit)
    if as_json:
        return output.print_json(output.as_json(kept))
    return output.stdout().print(limits.declared([kept]))


@app.command("delete")
def delete(
    limit_id: Annotated[str, typer.Argument(metavar="LIMIT")],
    ratelimit: RateLimit = None,
    as_json: Json = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Remove a limit and what it counted."""
    from cli import limits, output

    with peer("ratelimit", ratelimit, data_dir) as asked:
        limits.remove(asked, limit_id)
    if as_json:
        return output.print_json({"deleted": limit_id})
    return echo(f"{limit_id} is deleted")
