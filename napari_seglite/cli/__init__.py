"""The ``seglite`` command: the engine from a shell."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import src_models

from .. import __version__
from ..errors import SegliteError
from ..runtime import process

__all__ = ["build_parser", "main", "reported"]

# The environment variable that brings tracebacks and the warnings of libraries back.
DEBUG = "SEGLITE_DEBUG"
# Exit codes of programs that SIGINT, or the end of the program that reads their output, ended.
INTERRUPTED, UNREAD = 130, 141
# Characters of an unexpected error that are shown; some hold the stack of a library.
_LONGEST = 500


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command; every subcommand sets ``run``."""
    from . import (
        clusters,
        compare,
        demo,
        doctor,
        evaluate,
        exchange,
        export,
        fetch,
        fine_tune,
        importing,
        info,
        listing,
        segment,
    )

    parser = argparse.ArgumentParser(
        prog="seglite", description="Lightweight segmentation networks for biomedical images."
    )
    parser.add_argument("--version", action="version", version=f"seglite {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    modules = (
        listing,
        info,
        segment,
        clusters,
        evaluate,
        exchange,
        export,
        fine_tune,
        compare,
        importing,
        fetch,
        doctor,
        demo,
    )
    for module in modules:
        module.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; whatever goes wrong is told in a sentence.

    With ``SEGLITE_DEBUG=1`` in the environment, the traceback is printed before it, and the
    warnings of libraries are shown.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line; those of the process if not given.

    Returns
    -------
    int
        0 on success, 1 after a reported error, 130 if interrupted, 141 if what reads the output
        ended. Invalid arguments exit with 2, and SIGTERM exits with 143.
    """
    return reported(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    quiet = nullcontext() if os.environ.get(DEBUG) else process.plain_messages()
    with quiet, process.exit_when_terminated(), process.keep_freed_memory():
        process.name_account()
        parsed = build_parser().parse_args(arguments)
        return int(parsed.run(parsed))


def reported(program: Callable[[], int]) -> int:
    """Call a program of the shell, and report in a sentence what it raises.

    Parameters
    ----------
    program : callable
        Returns an exit code.

    Returns
    -------
    int
        The exit code, see `main`.
    """
    with process.any_name_printable():
        try:
            return _reported(program)
        except OSError as error:  # of the output itself, as after `seglite checkpoints | head -1`
            return UNREAD if isinstance(error, BrokenPipeError) else 1
        finally:
            process.discard_output()


def _reported(program: Callable[[], int]) -> int:
    try:
        try:
            return program()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        process.say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        process.say(sentence(error))
        return 1


def sentence(error: Exception) -> str:
    """Return what to tell a user of the shell about an error."""
    if isinstance(error, SegliteError) or (isinstance(error, ValueError) and _ours(error)):
        return str(error)  # a ValueError of ours is a setting out of its range
    text = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        text = ": ".join([" and ".join(names), error.strerror] if names else [error.strerror])
    elif isinstance(error, MemoryError):
        text = f"there is not enough memory. {text}".strip()
    else:
        text = f"unexpected {type(error).__name__}: {text}"
    return f"{text} ({DEBUG}=1 shows where)"


def _ours(error: Exception) -> bool:
    """Whether a statement of the program raised an error, and not something that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not (frames[-1].line or "").startswith("raise "):
        return False
    packages = [Path(__file__).parent.parent, Path(src_models.__file__).parent]
    return any(package in Path(frames[-1].filename).parents for package in packages)
