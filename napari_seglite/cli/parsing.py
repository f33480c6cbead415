"""What several subcommands share: the type that they are added to, and options of networks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import src_models
from src_models import vgg16_file

from ..errors import SegliteError


class Commands(Protocol):
    """The subcommands of a parser, as ``ArgumentParser.add_subparsers`` returns them."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:
        """Add a subcommand and return its parser."""
        ...


def option_help() -> str:
    """Return the options of all networks and their values, for a help text."""
    known = []
    for name in src_models.names():
        for option in src_models.card(name).options or ():
            values = "|".join(json.dumps(value).strip('"') for value in option.values)
            known.append(f"{name}: {option.name}={values or '[z,y,x]'}")
    return "; ".join(known)


def read_options(network: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return options that were given as KEY=VALUE.

    Parameters
    ----------
    network : str
        The network that starts from scratch with them.
    texts : sequence of str
        A value is JSON, or else text.

    Raises
    ------
    SegliteError
        If the network has no such option, or the option no such value.
    """
    options: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise SegliteError(f"Write an option as KEY=VALUE, not {text!r}.")
        try:
            options[key] = json.loads(value)
        except (ValueError, RecursionError):
            options[key] = value
    if problem := src_models.card(network).option_problem(options):
        raise SegliteError(f"--option: {problem}.")
    return options


def add_vgg16(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--vgg16``."""
    parser.add_argument(
        "--vgg16",
        type=Path,
        metavar="FILE",
        help=f"VGG-16's ImageNet weights, {vgg16_file.PUBLISHED}, with which M2SNet also learns "
        f"from LossNet; default: the file that {vgg16_file.ENVIRONMENT_VARIABLE} names, if any",
    )


def choose_vgg16(arguments: argparse.Namespace) -> None:
    """Use the file that ``--vgg16`` names.

    Raises
    ------
    SegliteError
        If there is no such file.
    """
    path = arguments.vgg16
    if path is not None and not path.is_file():
        raise SegliteError(f"There is no file {path} with VGG-16's weights for LossNet.")
    vgg16_file.choose(path)
