"""What the benchmarks share: timing side by side, tables, peak memory."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def side_by_side(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median time of each candidate in seconds.

    Candidates take turns, so that a machine that slows down slows all of them.

    Parameters
    ----------
    candidates : mapping of str to callable
        Functions to time, by name.
    rounds : int
        Timed calls per candidate, after one round that does not count.
    clock : callable
        Returns seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, call in candidates.items():
            start = clock()
            call()
            if number:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows as a Markdown table; the first is the header."""
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + "---|" * len(row))


def kept(file: Path, key: dict[str, Any], compute: Callable[[], float]) -> float:
    """Return the Dice that a file holds for a key; otherwise compute it and add it to the file.

    So an interrupted comparison goes on where it was.
    """
    for row in map(json.loads, file.read_text().splitlines() if file.exists() else ()):
        if row.items() >= key.items():
            return float(row["dice"])
    dice = compute()
    with file.open("a") as lines:
        lines.write(json.dumps({**key, "dice": dice}) + "\n")
    return dice


def kept_rows(file: Path, key: list[Any], compute: Callable[[], list[Any]]) -> list[Any]:
    """Return the rows that a file holds for a key; otherwise compute them and add them to it."""
    for kept_key, rows in map(json.loads, file.read_text().splitlines() if file.exists() else ()):
        if kept_key == key:
            return list(rows)
    found = compute()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps([key, found]) + "\n")
    return found


def peak_memory() -> float:
    """Return the peak resident memory of this process in megabytes; not on Windows."""
    import resource

    # On Linux a process inherits the ``ru_maxrss`` of its parent, which may be larger than its own.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    kilobyte = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilobyte / 1024
