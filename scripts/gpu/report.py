"""What a check found: rows that are written as they come, one JSON file and one table of all."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PASSED, FAILED, MEASURED, SKIPPED = "passed", "failed", "measured", "skipped"


@dataclass(frozen=True)
class Row:
    """One finding.

    Attributes
    ----------
    part : str
        The part it belongs to.
    name : str
        What was looked at.
    verdict : str
        ``"passed"`` or ``"failed"`` by a bound, ``"measured"`` without one, or ``"skipped"``.
    value : float or None
        What came out; None if nothing did, or no finite number.
    unit : str
        Of `value`.
    bound : str
        What it was held against, such as ``"≤ 0.001"``; empty without a bound.
    note : str
        Why it failed or was skipped, or what else to know.
    facts : dict
        Further numbers, for the JSON file alone.
    """

    part: str
    name: str
    verdict: str
    value: float | None = None
    unit: str = ""
    bound: str = ""
    note: str = ""
    facts: dict[str, Any] | None = None


class Rows:
    """The rows of a part, each on disk as soon as it is known.

    Parameters
    ----------
    part : str
        Name of the part.
    file : Path
        Gets a line of JSON for each row.
    seconds : float
        Time that the part may take, from now.
    """

    def __init__(self, part: str, file: Path, seconds: float) -> None:
        self.part, self.file = part, file
        self.end = time.monotonic() + seconds
        self.all: list[Row] = []

    @property
    def seconds_left(self) -> float:
        """The time until the part should end; below 0 after that."""
        return self.end - time.monotonic()

    def measured(
        self,
        name: str,
        value: float,
        unit: str = "",
        note: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        facts: dict[str, Any] | None = None,
    ) -> Row:
        """Add a number, and hold it against a bound if there is one; NaN fails every bound.

        Parameters
        ----------
        name, value, unit, note, facts
            See `Row`.
        at_most, at_least : float, optional
            The bounds.
        """
        bounds = [f"{sign} {limit:g}" for sign, limit in (("≤", at_most), ("≥", at_least)) if
                  limit is not None]  # fmt: skip
        inside = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        verdict = MEASURED if not bounds else PASSED if inside else FAILED
        finite = math.isfinite(value)
        if not finite:
            note, verdict = f"{value} {note}".strip(), FAILED
        number = value if finite else None
        facts = facts and {
            key: None if isinstance(fact, float) and not math.isfinite(fact) else fact
            for key, fact in facts.items()
        }
        return self._add(name, verdict, number, unit, " and ".join(bounds), note, facts)

    def skipped(self, name: str, why: str) -> Row:
        """Add what was not looked at, and why."""
        return self._add(name, SKIPPED, note=why)

    def failed(self, name: str, why: str) -> Row:
        """Add what could not be looked at because something went wrong."""
        return self._add(name, FAILED, note=why)

    @contextmanager
    def attempt(self, name: str, memory_may_lack: bool = False) -> Iterator[None]:
        """Turn an error into a row, so that what follows still runs.

        Parameters
        ----------
        name : str
            Of the row.
        memory_may_lack : bool
            Whether too little memory skips the row, rather than failing it.
        """
        try:
            yield
        except Exception as error:
            if memory_may_lack and "out of memory" in str(error).lower():
                self.skipped(name, "does not fit into the memory")
            else:
                self.failed(name, reason(error))

    def enough_time(self, name: str, seconds: float = 0.0) -> bool:
        """Whether so many seconds are left; if not, `name` is skipped."""
        if self.seconds_left > seconds:
            return True
        self.skipped(name, "the time of this part was over; give it more with --minutes")
        return False

    def _add(self, name: str, verdict: str, *rest: Any, **named: Any) -> Row:
        row = Row(self.part, name, verdict, *rest, **named)
        self.all.append(row)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(row)) + "\n")
        return row


def reason(error: BaseException) -> str:
    """Return an error in one line of at most 300 characters."""
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first}"[:300]


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a file; a last line that was cut off is left out."""
    rows = []
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            rows.append(Row(**json.loads(line)))
        except ValueError:
            continue
    return rows


def verdict_of(rows: Sequence[Row]) -> str:
    """Return ``"failed"`` if a row failed, else ``"passed"``, or ``"skipped"`` if none ran."""
    verdicts = {row.verdict for row in rows}
    if FAILED in verdicts:
        return FAILED
    return PASSED if verdicts & {PASSED, MEASURED} else SKIPPED


def write(folder: Path, host: dict[str, Any], parts: Sequence[dict[str, Any]]) -> tuple[Path, Path]:
    """Write ``gpu_check.json`` and ``gpu_check.md``.

    Parameters
    ----------
    folder : Path
        Exists.
    host : dict
        Facts about the computer.
    parts : sequence of dict
        Each with its ``part``, ``verdict``, ``seconds`` and ``rows``.

    Returns
    -------
    tuple of Path
        Both files.
    """
    whole = {
        "host": host,
        "parts": [{**part, "rows": [asdict(row) for row in part["rows"]]} for part in parts],
    }
    files = folder / "gpu_check.json", folder / "gpu_check.md"
    texts = json.dumps(whole, indent=1, allow_nan=False) + "\n", markdown(host, parts)
    for file, text in zip(files, texts, strict=True):
        scratch = file.with_name(f".{file.name}.{os.getpid()}")
        scratch.write_text(text, "utf-8")
        os.replace(scratch, file)
    return files


def markdown(host: dict[str, Any], parts: Sequence[dict[str, Any]]) -> str:
    """Return the table of all rows, after a line about the computer; see `write`."""
    lines = [
        ", ".join(f"{name}: {value}" for name, value in host.items()),
        "",
        "| part | check | value | bound | verdict | note |",
        "|---|---|---|---|---|---|",
    ]
    for part in parts:
        whole = f"{part['seconds']:.0f} s"
        lines.append(f"| **{part['part']}** | | {whole} | | **{part['verdict']}** | |")
        for row in part["rows"]:
            value = "" if row.value is None else f"{row.value:.4g} {row.unit}".strip()
            cells = (row.part, row.name, value, row.bound, row.verdict, row.note)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
