"""The command's tree: which commands there are, and how their failures become exit codes."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from cli.commands import catalog, complete, demo, holds, keys, limits, mine, up, usage
from cli.errors import CommandError, ExitCode
from cli.terminal import echo

_EPILOG = (
    "[bold]Exit codes[/]: 0 done · 1 the request failed · 2 wrong usage · 3 a service can't be reached · "
    "4 the key is missing, wrong or revoked · 5 a limit or a budget refused · 130 interrupted"
)


class FailingInOneLine(TyperGroup):
    """Says every failure in one line; what the command returns is in its exit code."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().make_context(*arguments, **options)
        except typer.TyperException as error:
            print_failure(_usage_error(error))
            raise typer.Exit(error.exit_code) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as error:
            print_failure(error)
            raise typer.Exit(error.code) from None
        except typer.TyperException as error:
            print_failure(_usage_error(error))
            raise typer.Exit(error.exit_code) from None


def _usage_error(error: typer.TyperException) -> CommandError:
    context = getattr(error, "ctx", None)
    path = "headgate" if context is None else context.command_path
    message = error.format_message().replace("Value error, ", "")
    return CommandError(message, f"`{path} --help` tells more", ExitCode.USAGE)


def print_failure(error: CommandError) -> None:
    color = typer.colors.RED if sys.stderr.isatty() else None
    typer.secho("error: ", nl=False, err=True, fg=color, bold=bool(color))
    echo(error.line, err=True)


app = typer.Typer(
    name="headgate",
    cls=FailingInOneLine,
    help="An LLM gateway: start it, ask it, and see who may ask, how much is left and what it cost.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """Without a callback typer would drop the name of a lone command."""


app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("complete")(complete.complete)
app.command("models")(catalog.models)
app.command("targets")(catalog.targets)
app.command("whoami")(mine.whoami)
app.command("usage")(usage.usage)
app.command("budgets")(mine.budgets)
app.command("holds")(holds.holds)
app.add_typer(keys.app, name="keys")
app.add_typer(limits.app, name="limits")
