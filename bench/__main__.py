"""`python -m bench`: one command for each scenario, and `all`."""

from bench.commands import app

if __name__ == "__main__":
    app(prog_name="python -m bench")
