"""`headgate demo`: everything once, in under a minute, leaving nothing behind."""


def demo() -> None:
    """Start everything in a temporary folder and show a completion, its cached repeat, a limit and the ledger."""
    from cli.demo.show import run

    run()
