"""Peak memory of the command line: imports alone, and images on disk of two sizes.

    python benchmarks/memory.py
    python benchmarks/memory.py --beside PATH

Every figure is the peak resident memory of a process of its own that runs the command, in MiB, with
one thread. Imports are those of segmenting an image of 64 x 64 pixels. ``--beside`` takes another
checkout of this repository and measures it in turn.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import table

HERE = Path(__file__).parents[1]
CHECKPOINT = "nuclei-s-net"
SMALL, BLOCK = 64, 1024
# Runs the command, then prints its peak and how many modules it loaded.
_CODE = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from common import peak_memory
from napari_seglite.cli import main
code = main(sys.argv[3:])
print("PEAK", code, peak_memory(), len(sys.modules))
"""


def write(path: Path, side: int) -> None:
    """Write an image of nuclei, ``(side, side)`` uint8, from copies of the sample."""
    import zarr

    from napari_seglite.widgets import sample_data

    sample = sample_data.load("fluorescence")[0]
    times = [-(-BLOCK // n) for n in sample.shape]
    block = np.tile(sample, times)[:BLOCK, :BLOCK]
    chunks = (min(side, 512),) * 2
    image = zarr.create_array(path, shape=(side, side), dtype=np.uint8, chunks=chunks)
    for top in range(0, side, BLOCK):
        for left in range(0, side, BLOCK):
            rows, columns = min(BLOCK, side - top), min(BLOCK, side - left)
            image[top : top + rows, left : left + columns] = block[:rows, :columns]


def peak(checkout: Path, image: Path, output: Path) -> tuple[float, int]:
    """Return the peak memory of segmenting an image, MiB, and the modules that were loaded."""
    words = ["segment", image, "--checkpoint", CHECKPOINT, "--output", output, "--device", "cpu"]
    call = [sys.executable, "-P", "-c", _CODE, checkout, Path(__file__).parent, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    printed = subprocess.check_output([str(word) for word in call], env=environment, text=True)
    code, memory, modules = printed.split("PEAK")[1].split()
    if code != "0":
        raise SystemExit(f"{image} was not segmented.")
    return float(memory), int(modules)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[2048, 8192])
    parser.add_argument("--beside", type=Path, metavar="PATH", help="another checkout")
    arguments = parser.parse_args()
    checkouts = {"this": HERE}
    if arguments.beside:
        checkouts = {"before": arguments.beside.resolve(), "now": HERE}
    rows: list[tuple[str, ...]] = [
        ("image on disk", *(f"{name}, {unit}" for name in checkouts for unit in ("MiB", "modules")))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = {side: folder / f"{side}.zarr" for side in (SMALL, *arguments.sizes)}
        for side, image in images.items():
            write(image, side)
        for checkout in checkouts.values():  # compiles what is not compiled yet
            peak(checkout, images[SMALL], folder)
        for side, image in images.items():
            found = [peak(checkout, image, folder) for checkout in checkouts.values()]
            name = "imports alone" if side == SMALL else f"{side:,} x {side:,}"
            rows.append((name, *(cell for m, n in found for cell in (f"{m:.0f}", f"{n:,}"))))
    table(rows)


if __name__ == "__main__":
    main()
