"""``seglite compare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import src_models

from ..annotation import prepare_project
from ..checkpoints import CheckpointStore
from ..training import FineTuneRequest, RankedNetwork, Schedule, compare_networks, ranking_table
from .fine_tune import opened
from .parsing import Commands, add_vgg16, choose_vgg16
from .tables import print_table


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Train several networks on a project's corrections, cross-validate them, and rank them."
    parser = commands.add_parser("compare", help=text, description=text)
    parser.add_argument("--project", required=True, type=Path, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=5, help="minutes per network; default 5")
    parser.add_argument(
        "--starts",
        nargs="+",
        metavar="NAME",
        help="networks, trained from scratch, and checkpoints; default: all networks",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    add_vgg16(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare networks and print the ranking, even an unfinished one after an interruption."""
    choose_vgg16(arguments)
    store = CheckpointStore()
    requests = [
        FineTuneRequest(
            start,
            "compared",
            Schedule(minutes=arguments.minutes),
            device=arguments.device,
            seed=arguments.seed,
        )
        for start in arguments.starts or src_models.names()
    ]
    with opened(arguments.project) as project:
        competitors = [prepare_project(project, request, store) for request in requests]
    ranking: tuple[RankedNetwork, ...] = ()
    show = sys.stderr.isatty()
    try:
        for event in compare_networks(competitors, store):
            ranking = event.ranking
            if show:
                print(f"\r\x1b[K{event.text}", end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("\nInterrupted; so far:", file=sys.stderr)
    if show:
        print(file=sys.stderr)
    print_table(rows(ranking), tabs=True)
    return 0


def rows(ranking: Sequence[RankedNetwork]) -> list[tuple[str, ...]]:
    """Return a ranking as rows of text, a header first; unfinished networks are marked."""
    table = ranking_table(ranking)
    header = ("start", *table.columns, "")
    cells = [
        (str(start), f"{dice:.3f}", f"{before:.3f}", f"{seconds:.2f}", f"{weights:,}", str(steps))
        for start, dice, before, seconds, weights, steps in table.itertuples()
    ]
    marks = ["" if result.done else "unfinished" for result in ranking]
    return [header, *((*row, mark) for row, mark in zip(cells, marks, strict=True))]
