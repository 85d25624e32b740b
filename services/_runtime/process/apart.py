"""Work that only a start needs, done in a process of its own: what it imports takes no memory for as long as a service runs."""

import os
import pickle
import subprocess
import sys
from importlib import import_module
from typing import Any

from services._runtime.configuration.environment import MisconfiguredError


def apart(target: str, *arguments: Any, saves: str) -> Any:
    """What the function `module:name` returns. Done here when this process has loaded module `saves` already.

    Arguments and result are pickled, which is safe: both ends are this program.

    :raises MisconfiguredError: as the function.
    """
    if saves in sys.modules:
        return _called(target, arguments)
    done = subprocess.run(  # noqa: S603 - this program itself
        (sys.executable, "-m", __name__, target),
        input=pickle.dumps(arguments),
        stdout=subprocess.PIPE,
        check=True,
        start_new_session=True,  # a Ctrl-C is for this process to answer
    )
    result = pickle.loads(done.stdout)  # noqa: S301 - see above
    if isinstance(result, MisconfiguredError):
        raise result
    return result


def _called(target: str, arguments: tuple[Any, ...]) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)(*arguments)


def main(target: str) -> None:
    # What prints would end up in the middle of the answer.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answer:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            result = _called(target, pickle.load(sys.stdin.buffer))  # noqa: S301 - see above
        except MisconfiguredError as error:
            result = error
        pickle.dump(result, answer)


if __name__ == "__main__":
    main(sys.argv[1])
