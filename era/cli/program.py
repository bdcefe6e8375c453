"""Run one command: read the arguments, do it, and turn what went wrong into one line and an exit code."""

import importlib
import logging
import sys
from collections.abc import Sequence

from era.cli.console import Console
from era.cli.parser import build_parser
from era.errors import EraError
from era.threads import wait_asleep

_MODULES = {
    "import": "importing",
    "index": "indexing",
    "search": "searching",
    "align": "aligning",
    "adapt": "adapting",
    "evaluate": "evaluating",
    "export": "exporting",
}


def main(words: Sequence[str]) -> int:
    """Do what the words of a command line say; return the exit code.

    Returns:
        0 if it was done, 1 if it could not be; wrong arguments end the program with 2.
    """
    arguments = build_parser().parse_args(words)
    console = Console(sys.stdout, sys.stderr, arguments.is_json, arguments.is_quiet)
    shown = logging.StreamHandler(sys.stderr)
    shown.setLevel(logging.ERROR if arguments.is_quiet else logging.WARNING)  # some packages lower that of their own
    logging.basicConfig(format="%(message)s", handlers=[shown])
    try:
        importlib.import_module(f"era.cli.{_MODULES[arguments.command]}").run(arguments, console)
    except KeyboardInterrupt:
        console.complain("Stopped before it was done. Run the same command again to go on.")
        return 1
    except BrokenPipeError:  # the reader of the pipe has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:
        console.complain(f"{error.filename}: {error.strerror}." if error.filename and error.strerror else str(error))
        return 1
    except (EraError, ValueError) as error:
        console.complain(str(error))
        return 1
    return 0


def start() -> None:
    """Run the words that the program was started with, and end it with the exit code."""
    wait_asleep()
    sys.exit(main(sys.argv[1:]))
