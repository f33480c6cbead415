"""Names of files and folders that are the same on every platform."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Windows opens a device instead of a file with one of these names, whatever its suffix.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{p}{n}" for p in ("com", "lpt") for n in range(10)}


def name_problem(name: str) -> str:
    """Return why a name cannot be used for a file or folder; an empty string if it can.

    Parameters
    ----------
    name : str
        Without a folder.

    Examples
    --------
    >>> name_problem("cells-2"), name_problem("NUL.txt")
    ('', 'Windows keeps the name NUL for a device')
    """
    if not _ALLOWED.fullmatch(name):
        return (
            "use at most 100 letters, digits, dots, hyphens and underscores, beginning with a "
            "letter or digit"
        )
    if name.endswith("."):
        return "Windows drops a dot at the end of a name"
    stem = name.split(".")[0]
    if stem.lower() in _DEVICES:
        return f"Windows keeps the name {stem} for a device"
    return ""


def safe_name(text: str, default: str) -> str:
    """Return a name for a file or folder that resembles a text.

    Parameters
    ----------
    text : str
        Any text.
    default : str
        The name if nothing is left of the text.

    Examples
    --------
    >>> safe_name("mouse 3/left?", "image"), safe_name("con", "image")
    ('mouse-3-left', 'con_')
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:60].rstrip(".") or default
    return name if not name_problem(name) else name.replace(stem := name.split(".")[0], f"{stem}_")


def taken(name: str, others: Iterable[str]) -> str:
    """Return the one of several names that some file systems cannot tell from a name.

    An empty string if there is none. Capitals do not distinguish files on Windows and macOS.
    """
    return next((other for other in others if other.casefold() == name.casefold()), "")
