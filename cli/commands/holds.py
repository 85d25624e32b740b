"""`headgate holds`: money that is held for requests, and what nobody has settled."""

from typing import Annotated

import typer

from cli.options import DEFAULT_DATA_DIR, Billing, DataDir, Json, peer


def holds(
    organization: Annotated[str, typer.Option("--org", help="Only this organisation's.")] = "",
    orphaned: Annotated[
        bool, typer.Option("--orphaned", help="Only those that expired and nobody settled.")
    ] = False,
    as_json: Json = False,
    billing: Billing = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List holds that are not resolved, those that expire first at the head."""
    from cli import accounts, output
    from headgate.billing.v1.billing_service_pb2 import HoldState

    with peer("billing", billing, data_dir) as asked:
        found = list(accounts.holds(asked, organization, orphaned=orphaned))
    if as_json:
        return output.print_json_list(found)
    table = output.table("=Hold", "Organisation", "User", "Key", ">Amount", "=State", "=Taken", "=Expires")
    for hold in found:
        caller = hold.caller
        table.add_row(
            hold.hold_id,
            caller.organization_id,
            caller.user_id,
            caller.key_id,
            output.usd(hold.amount_nanos),
            output.word(HoldState, hold.state),
            output.moment(hold.create_time),
            output.moment(hold.expire_time),
        )
    return output.stdout().print(table)
