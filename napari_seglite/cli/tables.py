"""Print tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(rows: Sequence[Sequence[str]], numeric: bool = False, tabs: bool = False) -> None:
    """Print rows of text in columns.

    Parameters
    ----------
    rows : sequence of sequence of str
        Cells of every row, a header first.
    numeric : bool
        Whether all columns but the first hold numbers, which are aligned to the right.
    tabs : bool
        Whether to separate cells by tabs, for other programs, instead of aligning columns.
    """
    if tabs:
        for row in rows:
            print("\t".join(row))
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if numeric and k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
