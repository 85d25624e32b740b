"""`headgate keys`: who may ask."""

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from cli.options import DEFAULT_DATA_DIR, Billing, DataDir, Json, peer
from cli.periods import period
from cli.terminal import echo

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

_ACCOUNT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$")


def _account(value: str) -> str:
    if not _ACCOUNT.match(value):
        raise typer.BadParameter(
            "letters, digits, `.`, `_`, `-` and `@`, at most 128, a letter or digit first"
        )
    return value


def _expiry(value: str) -> timedelta:
    return period(value)


@app.command("create")
def create(
    organization: Annotated[
        str, typer.Option("--org", callback=_account, help="Whose key it is.")
    ] = "default",
    user: Annotated[str, typer.Option("--user", callback=_account, help="Which of its users.")] = "default",
    name: Annotated[str, typer.Option("--name", help="A name for people.")] = "",
    expires_in: Annotated[
        timedelta | None,
        typer.Option(
            "--expires-in", parser=_expiry, metavar="PERIOD", help="Such as 30d or 12h; default: never."
        ),
    ] = None,
    as_json: Json = False,
    billing: Billing = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Create a key. Its secret is shown this once; the account is created when it is new."""
    from cli import accounts, output

    with peer("billing", billing, data_dir) as asked:
        made = accounts.create_key(asked, organization, user, name, expires_in)
    if as_json:
        return output.print_json(output.as_json(made))
    echo(made.token)
    echo(f"key {made.key.key_id} of {organization}/{user}; this is the only time that it is shown", err=True)
    return None


@app.command("list")
def list_keys(
    organization: Annotated[str, typer.Option("--org", help="Only this organisation's.")] = "",
    user: Annotated[str, typer.Option("--user", help="Only this user's.")] = "",
    as_json: Json = False,
    billing: Billing = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List keys, without their secrets."""
    from cli import accounts, output

    with peer("billing", billing, data_dir) as asked:
        found = list(accounts.keys(asked, organization, user))
    if as_json:
        return output.print_json_list(found)
    table = output.table("=Key", "Organisation", "User", "Name", "=State", "=Created", "=Expires")
    for key in found:
        expires = output.moment(key.expire_time) if key.HasField("expire_time") else "never"
        table.add_row(
            key.key_id,
            key.organization_id,
            key.user_id,
            key.display_name,
            output.styled(_state(key)),
            output.moment(key.create_time),
            expires,
        )
    return output.stdout().print(table)


def _state(key: Any) -> tuple[str, str]:
    return ("revoked", "red") if key.HasField("revoke_time") else ("in use", "green")


@app.command("rename")
def rename(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or the whole key.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name; '' for none.")],
    as_json: Json = False,
    billing: Billing = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Give a key another name."""
    from cli import accounts, output

    key_id = accounts.key_id_of(key)
    with peer("billing", billing, data_dir) as asked:
        renamed = accounts.rename_key(asked, key_id, name)
    if as_json:
        return output.print_json(output.as_json(renamed))
    return echo(f"{key_id} is called {renamed.display_name or 'nothing'} now")


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or the whole key.")],
    as_json: Json = False,
    billing: Billing = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """End a key for ever."""
    from cli import accounts, output

    key_id = accounts.key_id_of(key)
    with peer("billing", billing, data_dir) as asked:
        revoked = accounts.revoke_key(asked, key_id)
    if as_json:
        return output.print_json(output.as_json(revoked))
    return echo(f"{key_id} is revoked; routers refuse it once their copy of it has aged")
