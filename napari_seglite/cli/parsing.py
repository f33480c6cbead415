"""The type that subcommands are added to."""

from __future__ import annotations

import argparse
from typing import Protocol


class Commands(Protocol):
    """The subcommands of a parser, as ``ArgumentParser.add_subparsers`` returns them."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:
        """Add a subcommand and return its parser."""
        ...
