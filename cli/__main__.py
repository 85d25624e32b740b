"""The entry point of `headgate`."""

from cli.app import app


def main() -> None:
    app(prog_name="headgate")


if __name__ == "__main__":
    main()
