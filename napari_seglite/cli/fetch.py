"""``seglite fetch``."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict

from ..catalogue import (
    ENVIRONMENT_VARIABLE,
    Catalogue,
    FetchProgress,
    fetching,
    read_catalogue,
)
from ..checkpoints import CheckpointStore, printable
from ..errors import SegliteError
from ..runtime import WithResult, process
from .parsing import Commands
from .tables import print_table


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Fetch checkpoints by name from a release: those that are too large for the package."
    parser = commands.add_parser("fetch", help=text, description=text)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a checkpoint; see --list")
    parser.add_argument("--list", action="store_true", help="list what can be fetched")
    parser.add_argument("--json", action="store_true", help="with --list: print JSON")
    parser.add_argument(
        "--catalogue",
        metavar="FILE-OR-URL",
        help="the catalogue of a release; default: the one that "
        f"{ENVIRONMENT_VARIABLE} names, or else SegLite's own",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch the checkpoints and print their ids, or list what can be fetched."""
    if arguments.list == bool(arguments.names):
        raise SegliteError("Name the checkpoints to fetch, or list them with --list.")
    store, catalogue = CheckpointStore(), read_catalogue(arguments.catalogue)
    if arguments.list:
        _list(catalogue, store, arguments.json)
        return 0
    for name in arguments.names:
        # Closed at once when it is interrupted, so that what has come is removed.
        with closing(fetching(store, name, catalogue)) as steps:
            shown = WithResult(steps)
            for progress in shown:
                _report(progress)
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        print(shown.result.id)
    return 0


def _report(progress: FetchProgress) -> None:
    """Print progress in place, on a terminal alone."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress.text}", end="", file=sys.stderr, flush=True)


def _list(catalogue: Catalogue, store: CheckpointStore, as_json: bool) -> None:
    if as_json:
        listed = [
            {**asdict(entry), "url": catalogue.place(entry), "here": store.is_taken(entry.id)}
            for entry in catalogue.entries
        ]
        print(json.dumps(listed, indent=2))
        return
    if catalogue.empty_text:
        process.say(catalogue.empty_text)
    rows: list[tuple[str, ...]] = [("ID", "NETWORK", "MB", "HERE", "LICENCE", "DESCRIPTION")]
    rows += [
        (
            entry.id,
            printable(entry.network),
            f"{entry.size / 1e6:.1f}",
            "yes" if store.is_taken(entry.id) else "",
            printable(entry.licence),
            printable(entry.description),
        )
        for entry in catalogue.entries
    ]
    print_table(rows)
