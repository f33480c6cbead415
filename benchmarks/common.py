"""What the benchmarks share: timing side by side, tables, peak memory."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def side_by_side(
    candidates: Mapping[str, Callable[[], object]], rounds: int = 5
) -> dict[str, float]:
    """Return the median time of each candidate in seconds.

    Candidates take turns, so that a machine that slows down slows all of them.

    Parameters
    ----------
    candidates : mapping of str to callable
        Functions to time, by name.
    rounds : int
        Timed calls per candidate, after one round that does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows as a Markdown table; the first is the header."""
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + "---|" * len(row))


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
