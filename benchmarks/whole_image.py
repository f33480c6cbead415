"""A whole image, segmented by torch in float32 and as it is by default: time, memory, labels.

    python benchmarks/whole_image.py [--size 4000 6000] [--checkpoints NAME ...] [--output FOLDER]

Each run is a process of its own with a generated image of nuclei in memory, and begins with a small
image, so that neither imports nor compiling count. The graph for OpenVINO is made before.
*Processor* is the processor time of all threads, which says more than the clock where other
programs run. Peak memory is that of the process beyond what it had when the run began. Rows stay in
FOLDER, and a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import kept_rows, peak_memory, table
from engine import picture

from napari_seglite import CheckpointStore, Segmenter, SegmentRequest
from napari_seglite.runtime import graphs, process, tuning
from src_models.folding import fold

CHECKPOINTS = ("nuclei-unet-sharp-tiny", "nuclei-s-net")
# Name of the row: runtime and, beside the default, precision.
WAYS: dict[str, tuple[str, str]] = {
    "torch": ("torch", "exact"),
    "openvino, exact": ("openvino", "exact"),
    "openvino, fast": ("openvino", "fast"),
}


def one(checkpoint: str, way: str, size: tuple[int, int], folder: Path) -> None:
    """Segment an image and print seconds, processor seconds and megabytes; store the labels."""
    tuning.PAYS_AFTER = math.inf  # nothing else may run beside
    segmenter = Segmenter(CheckpointStore(folder / "checkpoints"))
    runtime, precision = WAYS[way]
    settings: dict[str, Any] = {"runtime": runtime, "precision": precision}
    request = SegmentRequest(checkpoint, "YX", "cpu", output="semantic", **settings)
    image = picture(*size)
    with process.keep_freed_memory():
        segmenter.segment(image[:300, :300], request)
        before, processor, begun = peak_memory(), time.process_time(), time.perf_counter()
        result = segmenter.segment(image, request)
        seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    ran = result.request.runtime, result.request.precision
    if ran != WAYS[way]:
        raise SystemExit(f"{way} cannot be measured here: {' '.join(result.notices)}")
    np.save(folder / f"{checkpoint}-{way}.npy", np.asarray(result.labels) > 0)
    print(json.dumps([seconds, processor, peak_memory() - before]))


def measured(checkpoint: str, way: str, size: tuple[int, int], folder: Path) -> list[Any]:
    """Return seconds, processor seconds, megabytes and the share of labels unlike torch's."""
    call = [sys.executable, __file__, "--one", checkpoint, way, "--output", str(folder)]
    call += ["--size", *map(str, size)]
    numbers = json.loads(subprocess.check_output(call, text=True).splitlines()[-1])
    masks = [np.load(folder / f"{checkpoint}-{name}.npy") for name in ("torch", way)]
    return [[*numbers, float(np.mean(masks[0] != masks[1]))]]


def export(checkpoint: str, folder: Path) -> None:
    """Make the graph of a checkpoint."""
    store = CheckpointStore(folder / "checkpoints")
    info, network = store.load(checkpoint)
    cache = graphs.GraphCache(folder / graphs.FOLDER)
    if not cache.holds(info):
        tuning.add_graph(cache, info, fold(network.eval()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(4000, 6000), metavar=("H", "W"))
    parser.add_argument("--checkpoints", nargs="+", default=CHECKPOINTS)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--output", type=Path, default=Path("whole-image"), metavar="FOLDER")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = arguments.size[0], arguments.size[1]
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        checkpoint, way = arguments.one
        one(checkpoint, way, size, arguments.output)
        return
    header = "checkpoint,runtime,s,times,processor s,times,peak memory MB,pixels changed"
    rows: list[tuple[str, ...]] = [tuple(header.split(","))]
    for checkpoint in arguments.checkpoints:
        export(checkpoint, arguments.output)
        first: list[float] = []
        for way in dict.fromkeys(("torch", *arguments.ways)):
            compute = partial(measured, checkpoint, way, size, arguments.output)
            key = [checkpoint, way, *size]
            (found,) = kept_rows(arguments.output / "rows.jsonl", key, compute)
            first = first or found
            seconds, processor, memory, changed = found
            clock = f"{seconds:.1f}", f"{first[0] / seconds:.2f}"
            busy = f"{processor:.1f}", f"{first[1] / processor:.2f}"
            rows.append((checkpoint, way, *clock, *busy, f"{memory:.0f}", f"{changed:.4%}"))
            table([rows[0], rows[-1]])
    print()
    table(rows)


if __name__ == "__main__":
    main()
