"""Overhead of the engine: time and memory beyond the network's, and stalls of the window.

    python benchmarks/engine.py            # throughput, labelling, memory
    python benchmarks/engine.py --only labelling
    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/engine.py --window

Throughput compares the segmentation of a whole image with the bare network on the same tiles, which
are in memory already; the overlap of the tiles is listed beside it. Peak memory is that of a fresh
process, beyond its imports, with S-Net and images on disk. Freed memory stays with the process
while a network runs, as in the command and the dock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import side_by_side, table

from napari_seglite.runtime import process

CHECKPOINT = "nuclei-s-net"


def picture(height: int, width: int) -> np.ndarray:
    """Return an image of nuclei, ``(height, width)`` uint8, from copies of the sample."""
    from napari_seglite.widgets import sample_data

    sample = sample_data.load("fluorescence")[0]
    times = (-(-height // sample.shape[0]), -(-width // sample.shape[1]))
    return np.asarray(np.tile(sample, times)[:height, :width])


def throughput(size: int, rounds: int) -> None:
    """Print the engine's time beside the bare network's, for ``(size, size)`` pixels."""
    from napari_seglite import Segmenter, SegmentRequest
    from napari_seglite.inference.predictor import Predictor
    from napari_seglite.inference.tiling import plan_axis

    image = picture(size, size)
    request = SegmentRequest(CHECKPOINT, "YX", "cpu")
    segmenter = Segmenter()
    info = segmenter.segment(image[:600, :600], request).info
    loaded = segmenter._loaded
    assert loaded is not None
    predictor = Predictor(loaded.network, "cpu")
    frame = info.normalisation.apply(image, info.normalisation.limits(image))[None]
    plan = plan_axis(size, request.tile, request.overlap)
    tiles = [
        np.ascontiguousarray(frame[:, top : top + plan.size, left : left + plan.size])
        for top in plan.starts
        for left in plan.starts
    ]
    with process.keep_freed_memory():
        seconds = side_by_side(
            {
                "engine": lambda: segmenter.segment(image, request),
                "network": lambda: [predictor(tile) for tile in tiles],
            },
            rounds,
        )
    overlap = len(tiles) * plan.size**2 / size**2 - 1
    table(
        [
            ("image", "tiles", "bare network", "engine", "throughput", "overlap of tiles"),
            (
                f"{size} x {size}",
                f"{len(tiles)} of {plan.size} x {plan.size}",
                f"{seconds['network']:.1f} s",
                f"{seconds['engine']:.1f} s",
                f"{seconds['network'] / seconds['engine']:.2f}",
                f"{overlap:.0%}",
            ),
        ]
    )


def labelling(size: int, rounds: int) -> None:
    """Print the time of labelling again from the same probabilities."""
    from napari_seglite import SegmentRequest, segment
    from napari_seglite.labels import watershed

    with process.keep_freed_memory():
        result = segment(picture(size, size), SegmentRequest(CHECKPOINT, "YX", "cpu"))
    result.relabel(output="instances")  # compiles the watershed if necessary
    assert not watershed.needs_compiling()
    changes: dict[str, dict[str, Any]] = {
        "threshold": {"threshold": 0.6},
        "threshold and smallest object": {"threshold": 0.6, "min_size": 30},
        "threshold and holes": {"threshold": 0.6, "fill_holes": 50},
        "threshold and smoothing": {"threshold": 0.6, "smooth": 1.0},
        "objects, split where they touch": {"threshold": 0.6, "output": "instances"},
    }
    seconds = side_by_side(
        {name: partial(result.relabel, **change) for name, change in changes.items()}, rounds
    )
    rows: list[tuple[str, ...]] = [(f"labelling again, {size} x {size}", "ms")]
    table(rows + [(name, f"{1e3 * each:.0f}") for name, each in seconds.items()])


def memory(sizes: list[int]) -> None:
    """Print peak memory and time for square images of several sizes, a process for each."""
    rows: list[tuple[str, ...]] = [("image on disk", "peak memory", "time")]
    for size in sizes:
        call = [sys.executable, __file__, "--one", str(size)]
        peak, seconds = subprocess.check_output(call, text=True).split()[-2:]
        rows.append((f"{size:,} x {size:,}", f"{float(peak):.0f} MB", f"{float(seconds):.0f} s"))
    table(rows)


def one(size: int) -> None:
    """Segment an image on disk; print peak memory in megabytes, and seconds."""
    import zarr

    from napari_seglite import Segmenter, SegmentRequest

    with tempfile.TemporaryDirectory() as folder:
        array = zarr.create_array(folder, shape=(size, size), dtype=np.uint8, chunks=(512, 512))
        block = picture(1024, 1024)
        for top in range(0, size, 1024):
            for left in range(0, size, 1024):
                rows, columns = min(1024, size - top), min(1024, size - left)
                array[top : top + rows, left : left + columns] = block[:rows, :columns]
        request = SegmentRequest(CHECKPOINT, "YX", "cpu", output="instances")
        segmenter = Segmenter()
        with process.keep_freed_memory():
            segmenter.segment(array[:600, :600], request)
        before, start = common.peak_memory(), time.perf_counter()
        with process.keep_freed_memory():
            segmenter.segment(array, request)
        print(common.peak_memory() - before, time.perf_counter() - start)


def window(shape: tuple[int, int, int]) -> None:
    """Print the stalls of the window during the segmentation of a stack, ``(Z, Y, X)``."""
    scratch = tempfile.mkdtemp()
    os.environ["NAPARI_CONFIG"] = os.path.join(scratch, "settings.yaml")
    os.environ["SEGLITE_DATA"] = scratch
    import gui
    import napari

    from napari_seglite.widgets.demo import wait

    depth, height, width = shape
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-seglite", "SegLite")
    panel = dock.segment_panel
    small = viewer.add_image(picture(300, 300))
    panel.segment()
    wait(lambda: not panel.busy)  # imports and compiles everything
    viewer.layers.clear()
    assert small not in viewer.layers

    def add_image() -> None:
        viewer.add_image(np.stack([picture(height, width)] * depth), name="stack")
        gui.wait_a_moment()

    def segment() -> None:
        panel.segment()
        wait(lambda: not panel.busy)

    rows: list[tuple[str, ...]] = [("job", "time", "longest stall", "second", "stalls over 50 ms")]
    for name, run in (
        ("napari opens the stack", add_image),
        ("napari adds and removes two Labels layers", lambda: gui.add_and_remove_layers(viewer)),
        (f"segmentation of {width} x {height} x {depth}", segment),
    ):
        seconds, waits = gui.stalls(run)
        longest = [f"{1e3 * w:.0f} ms" for w in waits[:2]]
        rows.append((name, f"{seconds:.1f} s", *longest, str(sum(w > 0.05 for w in waits))))
    table(rows)
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", nargs="+", type=int, default=[2048, 6144])
    parser.add_argument("--only", choices=("throughput", "labelling", "memory"))
    parser.add_argument("--window", action="store_true")
    parser.add_argument("--stack", nargs=3, type=int, default=(20, 2048, 2048))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    if arguments.one:
        one(arguments.one)
    elif arguments.window:
        window(tuple(arguments.stack))
    else:
        parts: dict[str, Callable[[], None]] = {
            "throughput": lambda: throughput(arguments.size, arguments.rounds),
            "labelling": lambda: labelling(arguments.size, arguments.rounds),
            "memory": lambda: memory(arguments.memory),
        }
        for name, part in parts.items():
            if arguments.only in (None, name):
                part()
                print()


if __name__ == "__main__":
    main()
