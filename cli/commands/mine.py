"""`headgate whoami` and `headgate budgets`: whose key this is, and what it may still spend."""

from cli.options import DEFAULT_DATA_DIR, DataDir, Json, Router, peer


def whoami(as_json: Json = False, router: Router = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show whose key this is, what it is called and when it ends."""
    from cli import mine, output

    with peer("router", router, data_dir) as asked:
        told = mine.myself(asked)
    if as_json:
        return output.print_json(output.as_json(told))
    return output.stdout().print(mine.identity(told))


def budgets(as_json: Json = False, router: Router = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show what is left of the budgets that bind this key, and when they are renewed."""
    from cli import mine, output

    with peer("router", router, data_dir) as asked:
        told = mine.budgets(asked)
    if as_json:
        return output.print_json_list(told)
    return output.stdout().print(mine.budgets_table(told))
