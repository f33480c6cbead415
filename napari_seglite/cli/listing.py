"""``seglite networks`` and ``seglite checkpoints``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, printable, score_of
from .parsing import Commands
from .tables import print_table


def add_to(commands: Commands) -> None:
    """Add both subcommands."""
    for name, run, text in (
        ("networks", networks, "List the networks."),
        ("checkpoints", checkpoints, "List the trained checkpoints."),
    ):
        parser = commands.add_parser(name, help=text, description=text)
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run)


def networks(arguments: argparse.Namespace) -> int:
    """Print the networks."""
    cards = [src_models.card(name) for name in src_models.names()]
    if arguments.json:
        print(json.dumps([card.as_dict() for card in cards], indent=2))
        return 0
    rows: list[tuple[str, ...]] = [
        ("NAME", "PARAMETERS", "GFLOP", "SLICES", "PRUNING", "LOSS", "PAPER")
    ]
    rows += [
        (
            c.name,
            f"{c.parameters:,}",
            f"{c.gflop:.1f}",
            str(c.context_slices),
            f"{c.pruning_levels[0]} to {c.pruning_levels[-1]}" if c.pruning_levels else "",
            c.loss,
            f"{c.paper}, doi {c.doi}" if c.doi else c.paper,
        )
        for c in cards
    ]
    print_table(rows)
    print("\nGFLOP are for 256 x 256 pixels; --json prints all properties.")
    return 0


def checkpoints(arguments: argparse.Namespace) -> int:
    """Print the checkpoints; on standard error, those that cannot be used."""
    store = CheckpointStore()
    found = store.scan()
    for name, reason in found.damaged.items():
        text = f"{name} cannot be used: {reason}"
        print(f"seglite: {printable(text, longest=1000)}", file=sys.stderr)
    if arguments.json:
        listed = [
            {**info.as_dict(), "built_in": store.is_built_in(info.id)} for info in found.infos
        ]
        print(json.dumps(_finite(listed), indent=2, allow_nan=False))
        return 0
    rows: list[tuple[str, ...]] = [
        ("ID", "NETWORK", "CHANNELS", "CLASSES", "DICE", "ORIGIN", "DESCRIPTION")
    ]
    for info in found.infos:
        dice = score_of(info)
        rows.append(
            (
                info.id,
                info.network,
                str(info.in_channels),
                printable("/".join(info.class_names)),
                "" if dice is None else f"{dice.value:.3f}",
                printable("built in" if store.is_built_in(info.id) else f"from {_start(info)}"),
                printable(info.description),
            )
        )
    print_table(rows)
    return 0


def _start(info: CheckpointInfo) -> str:
    """Return what a checkpoint was trained or imported from."""
    return info.parent or info.origin.get("file", "scratch")


def _finite(value: Any) -> Any:
    """Return JSON data with null for numbers that JSON does not have, such as an unknown score."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
