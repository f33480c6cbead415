"""Texts from files of others, fit to be shown."""

from __future__ import annotations

import unicodedata


def printable(text: str, longest: int = 300, lines: bool = False) -> str:
    r"""Return a text without control characters, which could act on a terminal.

    Parameters
    ----------
    text : str
        From a file.
    longest : int
        Number of characters after which it is cut.
    lines : bool
        Whether it may have several lines.

    Examples
    --------
    >>> printable("\x1b[2Jgone\n")
    ' [2Jgone '
    """
    cut = text if len(text) <= longest else f"{text[:longest]}…"
    # Control, format (which can turn the direction of writing), surrogate and line separators.
    odd = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "".join(
        " " if unicodedata.category(c) in odd and not (lines and c == "\n") else c for c in cut
    )
