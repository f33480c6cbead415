"""List the licences of everything that SegLite brings with it, as its packages state them.

Run where all extras are installed::

    python scripts/licences.py            # writes the tables of docs/licences.md anew
    python scripts/licences.py --check    # ends with 1 if a package is missing there
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).resolve().parent.parent / "docs" / "licences.md"
NAME = "napari-seglite"
EXTRAS = ("napari", "fast", "all", "all-pyside6", "exchange", "medical", "microscopes")
BEGIN, END = "<!-- begin: scripts/licences.py -->", "<!-- end -->"
# Metadata names them in many ways; the classifiers of licences end in these words.
SHORT = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "LGPL v3": "LGPL-3.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Academic Free License (AFL)": "AFL",
}
# Licences with conditions for who passes the software on.
RECIPROCAL = re.compile(r"GPL|MPL|EPL|CDDL", re.IGNORECASE)


def installed(folders: Sequence[str] | None = None) -> dict[str, Distribution]:
    """Return installed distributions by normalised name, of this environment or of folders."""
    found: dict[str, Distribution] = {}
    for each in distributions(path=list(folders)) if folders else distributions():
        # The first is the one that is imported.
        found.setdefault(canonicalize_name(each.metadata["Name"]), each)
    return found


def required(
    name: str, extras: Iterable[str], packages: dict[str, Distribution]
) -> dict[str, Distribution]:
    """Return the installed distributions that one requires, directly or not, without itself.

    Parameters
    ----------
    name : str
        Normalised name of the distribution that requires.
    extras : iterable of str
        Its extras that are asked for.
    packages : dict
        What is installed, from `installed`.

    Returns
    -------
    dict
        By normalised name, sorted. What is not installed is left out: it is for other platforms.
    """
    waiting = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    seen = set()
    while waiting:
        seen.add(entry := waiting.pop())
        here, extra = entry
        if here not in packages:
            continue
        for line in packages[here].requires or ():
            wanted = Requirement(line)
            if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
                continue
            there = canonicalize_name(wanted.name)
            more = {(there, each) for each in ("", *wanted.extras)}
            waiting += more - seen
    names = {here for here, _ in seen} & packages.keys() - {canonicalize_name(name)}
    return {each: packages[each] for each in sorted(names)}


def licence(package: Distribution) -> str:
    """Return the licence that a distribution states: its SPDX expression where it has one."""
    told = package.metadata
    if "License-Expression" in told:
        return told["License-Expression"]
    classified = [
        each.rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or ()
        if each.startswith("License ::") and not each.endswith("OSI Approved")
    ]
    if classified:
        return ", ".join(SHORT.get(each, each) for each in classified)
    # The field was meant for a name, but some hold the whole text.
    first = told["License"].strip().partition("\n")[0] if "License" in told else ""
    return SHORT.get(first, first) if 0 < len(first) <= 60 else "not stated"


def tables(packages: dict[str, Distribution]) -> str:
    """Return Markdown tables: what the base brings, and what each extra adds."""
    base = required(NAME, (), packages)
    texts = [table("The base", base)]
    shown = set(base)
    for extra in EXTRAS:
        brought = required(NAME, (extra,), packages)
        added = {name: each for name, each in brought.items() if name not in shown}
        shown |= added.keys()
        if added:
            texts.append(table(f"Added by `[{extra}]`", added))
    return "\n\n".join(texts)


def table(title: str, packages: dict[str, Distribution]) -> str:
    """Return a Markdown table of packages; reciprocal licences are bold."""
    lines = [f"### {title}", "", "| package | licence |", "|---|---|"]
    for package in packages.values():
        told = licence(package)
        told = f"**{told}**" if RECIPROCAL.search(told) else told
        lines.append(f"| {package.metadata['Name']} | {told} |")
    return "\n".join(lines)


def missing(page: str, packages: dict[str, Distribution], extras: Iterable[str]) -> list[str]:
    """Return the names of required packages that a page does not list."""
    listed = {canonicalize_name(name) for name in re.findall(r"^\| (\S+) \|", page, re.M)}
    return [name for name in required(NAME, extras, packages) if name not in listed]


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    page = PAGE.read_text("utf-8")
    packages = installed()
    if parser.parse_args().check:
        if names := missing(page, packages, EXTRAS):
            sys.exit(f"{PAGE.name} does not list {', '.join(names)}: run scripts/licences.py")
        return
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(packages)}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
