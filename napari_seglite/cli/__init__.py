"""The ``seglite`` command: the engine from a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import SegliteError
from ..runtime import process


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command; every subcommand sets ``run``."""
    from . import compare, demo, doctor, evaluate, export, fine_tune, info, listing, segment

    parser = argparse.ArgumentParser(
        prog="seglite", description="Lightweight segmentation networks for biomedical images."
    )
    parser.add_argument("--version", action="version", version=f"seglite {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (listing, info, segment, evaluate, export, fine_tune, compare, doctor, demo):
        module.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line; those of the process if not given.

    Returns
    -------
    int
        0 on success, 1 after a reported error, 130 if interrupted. Invalid arguments exit with 2,
        and SIGTERM exits with 143.
    """
    parsed = build_parser().parse_args(arguments)
    try:
        with process.exit_when_terminated(), process.keep_freed_memory():
            return int(parsed.run(parsed))
    except SegliteError as error:
        print(f"seglite: {error}", file=sys.stderr)
        return 1
    except ValueError as error:  # a setting out of its range
        print(f"seglite: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("seglite: interrupted", file=sys.stderr)
        return 130
