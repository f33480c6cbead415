"""Peak memory of the command line: imports alone, and images on disk of two sizes.

    python benchmarks/memory.py
    python benchmarks/memory.py --one-tile --beside PATH

Every figure is the peak resident memory of a process of its own that runs the command, in MiB, with
one thread; in brackets, without the pages of files such as shared libraries, which processes share
and the system can drop (Linux alone). Imports are those of segmenting an image of 64 x 64 pixels.
``--beside`` takes another checkout of this repository and measures it in turn. With ``--one-tile``,
the network computes the first tile of every shape, and others are copies of its output: the same
arrays in minutes instead of hours.
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
import sys, threading
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from common import peak_memory
from napari_seglite.cli import main
from napari_seglite.inference.runtimes import TorchRuntime

computed, forward = {}, TorchRuntime.forward

def once(self, pixels):
    if pixels.shape not in computed:
        computed[pixels.shape] = forward(self, pixels)
    return computed[pixels.shape].clone()

if sys.argv[3] == "True":
    TorchRuntime.forward = once

anonymous, ended = 0, threading.Event()

def watch():
    global anonymous
    while not ended.wait(0.01):
        resident, files = map(int, Path("/proc/self/statm").read_text().split()[1:3])
        anonymous = max(anonymous, (resident - files) / 256)  # of 4 KiB

if sys.platform == "linux":
    threading.Thread(target=watch).start()
code = main(sys.argv[4:])
ended.set()
print("PEAK", code, peak_memory(), anonymous, len(sys.modules))
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


def peak(checkout: Path, image: Path, output: Path, once: bool) -> tuple[float, float, int]:
    """Return the peak memory of segmenting an image, MiB, and the modules that were loaded.

    The second number leaves out the pages of files.
    """
    words = ["segment", image, "--checkpoint", CHECKPOINT, "--output", output, "--device", "cpu"]
    call = [sys.executable, "-P", "-c", _CODE, checkout, Path(__file__).parent, once, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    printed = subprocess.check_output([str(word) for word in call], env=environment, text=True)
    code, memory, anonymous, modules = printed.split("PEAK")[1].split()
    if code != "0":
        raise SystemExit(f"{image} was not segmented.")
    return float(memory), float(anonymous), int(modules)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[2048, 8192])
    parser.add_argument("--beside", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--one-tile", action="store_true", help="compute one tile of each shape")
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
            peak(checkout, images[SMALL], folder, False)
        for side, image in images.items():
            once = arguments.one_tile
            found = [peak(checkout, image, folder, once) for checkout in checkouts.values()]
            name = "imports alone" if side == SMALL else f"{side:,} x {side:,}"
            rows.append(
                (name, *(cell for m, a, n in found for cell in (f"{m:.0f} ({a:.0f})", f"{n:,}")))
            )
    table(rows)


if __name__ == "__main__":
    main()
