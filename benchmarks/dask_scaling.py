"""What segmenting block by block costs, and what 1,000 workers would make of 10 TB.

``python benchmarks/dask_scaling.py overhead`` compares blocks with one machine, in CPU seconds,
and 1, 2 and 4 workers, in seconds. ``merge`` numbers ten million synthetic objects. ``tiles``
counts the tiles that neighbours both compute. ``paper`` computes the cluster from costs that
``overhead`` and ``merge`` printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_seglite import SegmentRequest
from napari_seglite.blocks import (
    BATCH,
    Blocks,
    Cut,
    Job,
    Ledger,
    LocalProcesses,
    number_all,
    pack,
    prepare,
    run,
    run_step,
)
from napari_seglite.formats import read_labels
from napari_seglite.images import Box
from napari_seglite.inference import segment
from napari_seglite.inference.mosaic import TileGrid
from napari_seglite.inference.rescaling import Resampling

CHECKPOINT = "nuclei-unet-sharp-tiny"


def cells(side: int) -> np.ndarray:
    """Return discs like nuclei, uint8, 12 per 100 x 100 pixels."""
    rng = np.random.default_rng(0)
    mask = np.zeros((side, side), bool)
    for _ in range(side * side * 12 // 10_000):
        (cy, cx), r = rng.integers(0, side, 2), int(rng.integers(5, 12))
        top, left = max(cy - r, 0), max(cx - r, 0)
        y, x = np.mgrid[top : cy + r, left : cx + r]
        part = mask[top : cy + r, left : cx + r]
        part |= ((y - cy) ** 2 + (x - cx) ** 2 < r * r)[: part.shape[0], : part.shape[1]]
    return (mask * 100 + 20 + rng.normal(0, 5, mask.shape)).clip(0, 255).astype(np.uint8)


def cpu() -> float:
    """Return the CPU seconds of this process and its children that ended."""
    own, others = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def overhead(side: int, block: int, tile: int, workers: list[int]) -> dict[str, float]:
    found: dict[str, float] = {"pixels": side**2}
    request = SegmentRequest(
        CHECKPOINT, "YX", "cpu", output="instances", tile=tile, overlap=12, runtime="torch"
    )
    with tempfile.TemporaryDirectory() as folder:
        image, root = cells(side), Path(folder)
        tifffile.imwrite(root / "a.tif", image)
        segment(image[:256, :256], request)  # compiles
        began = cpu()
        expected = segment(image, request).labels
        found["one machine, CPU s"] = cpu() - began
        ledger = prepare(root / "a.tif", request, root / "0.zarr", Blocks(block))
        found["blocks"], found["objects"] = ledger.job.cut.count, int(expected.max())
        for step in ledger.steps():
            began = cpu()
            for _ in run_step(ledger, step):
                pass
            found[f"{step}, CPU s"] = cpu() - began
        for _ in run(ledger):
            pass
        found["equal"] = bool(np.array_equal(read_labels(ledger.place), expected))
        for count in workers:
            ledger = prepare(root / "a.tif", request, root / f"{count}.zarr", Blocks(block))
            began, used = time.perf_counter(), cpu()
            for _ in run(ledger, LocalProcesses(count, threads=1)):
                pass
            found[f"{count} workers, s"] = time.perf_counter() - began
            found[f"{count} workers, CPU s"] = cpu() - used
    return found


def merge(objects: int, per_block: int) -> dict[str, float]:
    """Return what numbering synthetic objects takes; every tenth goes on in the next block."""
    count = objects // per_block
    side = int(np.ceil(np.sqrt(count)))
    cut = Cut(1, (1, 512 * side, 512 * side), (1, 512, 512), (0, 64, 64))
    request = SegmentRequest(CHECKPOINT, "YX", output="instances", min_size=5)
    request = SegmentRequest.from_dict({**request.as_dict(), "least_probability": 0.5})
    rng = np.random.default_rng(0)
    found: dict[str, float] = {"objects": objects, "blocks": cut.count}
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(f"{folder}/a.zarr")
        ledger.write_job(Job("a.tif", request, "", (0, 1), cut.shape[1:], cut))
        for batch in range(ledger.units("link")):
            blocks = np.array(ledger.blocks_of(batch))
            n = len(blocks) * per_block
            linked = np.repeat(blocks[blocks + 1 < cut.count], per_block // 10)
            one = np.resize(np.arange(1, per_block // 10 + 1), len(linked))
            sizes = rng.integers(5, 500, n)
            ledger.mark(
                "link",
                batch,
                pack(
                    counts=np.full(len(blocks), per_block),
                    sizes=sizes,
                    first=rng.integers(0, 2**40, n),
                    sums=sizes * rng.uniform(0.6, 1, n),
                    one=linked,
                    other=linked + 1,
                    pairs=np.stack([one, per_block + 1 - one], 1),
                ),
            )
        began, wall = cpu(), time.perf_counter()
        number_all(ledger)
        found |= {"CPU s": cpu() - began, "s": time.perf_counter() - wall}
        found["kept objects"] = ledger.numbers()["objects"]
        found["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return found


def tiles(side: int, blocks: list[int], tile: int, overlap: int) -> dict[int, float]:
    """Return for sizes of blocks how many tiles are computed per tile of the whole image."""
    whole = Box.whole((side, side))
    resampling = Resampling((side, side), whole)
    total = int(TileGrid(resampling, whole, tile, overlap).needed.sum())
    found = {}
    for size in blocks:
        cut = Cut(1, (1, side, side), (1, size, size), (0, 64, 64))
        # Rows and columns are alike, so that one row of blocks says it all.
        along = 0
        for number in range(cut.counts[2]):
            _, _, x = cut.grown(number)
            grid = TileGrid(resampling, Box(0, x.start, side, x.stop), tile, overlap)
            along += int(grid.needed.any(0).sum())
        found[size] = round(along**2 / total, 3)
    return found


def paper(costs: dict[str, float], terabytes: float, workers: int, objects: float) -> None:
    """Print hours per step for an image of 16 bits, from CPU seconds per unit."""
    pixels, block = terabytes * 1e12 / 2, 4096**2
    blocks = pixels / block
    hours = {
        "segment": pixels * costs["segment per pixel"] / workers,
        "link": blocks * costs["link per block"] / workers,
        "number": objects * costs["number per object"],
        "finish": pixels * costs["finish per pixel"] / workers,
        "coarsest levels": pixels / 4**6 * costs["finish per pixel"],
        "Dask's scheduler, 1 ms a task": (2 * blocks + blocks / BATCH) * 1e-3,
    }
    print(f"{pixels:.3g} pixels, {blocks:,.0f} blocks, {objects:.3g} objects, {workers} workers")
    for step, seconds in hours.items():
        print(f"{step:32} {seconds / 3600:10.3f} h")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("overhead", "merge", "tiles", "paper"))
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--block", type=int, default=512)
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--objects", type=float, default=1e7)
    parser.add_argument("--costs", type=json.loads, help="JSON, of paper")
    given = parser.parse_args()
    if given.part == "overhead":
        found = overhead(given.side, given.block, given.tile, given.workers)
        print(json.dumps(found, indent=1))
    elif given.part == "merge":
        print(json.dumps(merge(int(given.objects), 1000), indent=1))
    elif given.part == "tiles":
        print(tiles(32768, [512, 1024, 2048, 4096, 8192], 512, 48))
    else:
        paper(given.costs, 10, 1000, given.objects)


if __name__ == "__main__":
    main()
