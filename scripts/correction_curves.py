"""Plot the results of ``benchmarks/correction_loop.py``.

python benchmarks/correction_loop.py DATA 2> rows.txt
python scripts/correction_curves.py rows.txt docs/images/correction-loop.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

SHOWN = {"SegLite": "#0a7d6b", "BasicUNet": "#c1671a", "random forest": "#6a6f78"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the measurements in a log; other lines are skipped."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    rows = rows_of(arguments.rows)
    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure = Figure(figsize=(3.1 * len(sets), 2.9), layout="constrained")
    for number, (name, axes) in enumerate(
        zip(sets, figure.subplots(1, len(sets), squeeze=False)[0], strict=True)
    ):
        own = sorted((r for r in rows if r["set"] == name), key=lambda r: r["slices"])
        slices = [row["slices"] for row in own]
        for method, colour in SHOWN.items():
            dice = [row[method] for row in own]
            wide = 2.4 if method == "SegLite" else 1.4
            axes.plot(slices, dice, marker="o", ms=4, lw=wide, color=colour, label=method)
        axes.set_xscale("log", base=2)
        axes.set_xticks(slices, [str(count) for count in slices])
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("corrected slices")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if number == 0:
            axes.set_ylabel("Dice on other slices")
            axes.legend(frameon=False, fontsize=8)
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
