"""Segment an image, a stack and a large Zarr on the device, and with too little memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_seglite import CheckpointStore, Segmentation, Segmenter, SegmentRequest
from napari_seglite.runtime import WithResult

from .memory import Ballast, scarce, watched
from .pictures import cells
from .report import Rows
from .runs import Settings
from .timing import tensor_cores

CHECKPOINT = "general-unet-sharp"
# It takes a gigabyte for a thousand pixels squared.
HEAVY = "nuclei-s-net"
# What is compared with the CPU: convolutions alone, and the scan.
COMPARED = ((CHECKPOINT, "image"), (CHECKPOINT, "stack"), (HEAVY, "image"))
# Side of the image and of the Zarr, shape of the stack, and the tiles for too little memory.
IMAGE = {True: 1024, False: 128}
STACK = {True: (6, 512, 512), False: (2, 64, 96)}
ZARR = {True: 20_000, False: 256}
TILE, SMALL_TILE = {True: 2048, False: 128}, {True: 448, False: 80}
# Pixels that may be foreground on one of two devices alone: with the CPU's arithmetic, with TF32 or
# where tiles of another size change what the network sees around a pixel.
SAME, ALIKE = 1e-3, 1e-2
# Seconds that a cancelled pass needs to label what it has.
LABELLING = 15.0


def run(settings: Settings, rows: Rows) -> None:
    """Segment everything."""
    store = CheckpointStore(Path(settings.folder) / "checkpoints")
    small, depth = IMAGE[settings.on_gpu], STACK[settings.on_gpu]
    image = cells(small, small, settings.seed)[0]
    stack = np.stack([cells(*depth[1:], settings.seed + k)[0] for k in range(depth[0])])
    segmenter = Segmenter(store)
    kinds = {"image": (image, "YX"), "stack": (stack, "ZYX")}
    for checkpoint, kind in COMPARED:
        pixels, axes = kinds[kind]
        title = f"{checkpoint}, {kind} of {_size(pixels)}"
        if rows.enough_time(title):
            with rows.attempt(title):
                against_cpu(title, pixels, axes, checkpoint, segmenter, settings, rows)
    if rows.enough_time("too little memory"):
        with rows.attempt("too little memory"):
            too_little_memory(segmenter, settings, rows)
    with rows.attempt("large Zarr"):
        large_zarr(segmenter, settings, rows)


def _size(pixels: Any) -> str:
    return " x ".join(f"{n:,}" for n in pixels.shape)


def share_apart(own: Any, other: Any) -> float:
    """Return the share of pixels that are foreground in one of two label arrays alone."""
    return float(np.mean((np.asarray(own) > 0) != (np.asarray(other) > 0)))


def against_cpu(
    title: str,
    pixels: np.ndarray,
    axes: str,
    checkpoint: str,
    segmenter: Segmenter,
    settings: Settings,
    rows: Rows,
) -> None:
    """Compare the labels of the device with the CPU's, and look at the memory."""
    tile = 448 if settings.on_gpu else 64
    request = SegmentRequest(checkpoint, axes, settings.device, tile=tile, overlap=tile // 4)
    cpu = SegmentRequest(checkpoint, axes, "cpu", tile=tile, overlap=tile // 4)
    expected = Segmenter(segmenter.store).segment(pixels, cpu).labels
    with tensor_cores(False):
        exact = segmenter.segment(pixels, request).labels
    rows.measured(f"{title}, other pixels than on the CPU", share_apart(expected, exact),
                  "of all", at_most=SAME)  # fmt: skip
    if np.mean(np.asarray(expected) > 0) < 0.01:
        rows.failed(title, "the labels are nearly empty, so that comparing them means nothing")
    if settings.on_gpu:  # kernels that are loaded now are none of the job's memory
        segmenter.segment(pixels, request)
    with watched(title, settings.device, rows), tensor_cores(True):
        begun = time.perf_counter()
        fast = segmenter.segment(pixels, request).labels
        speed = pixels.size / (time.perf_counter() - begun) / 1e6
    rows.measured(f"{title}, speed", speed, "megapixels a second")
    if settings.on_gpu:
        rows.measured(f"{title}, with TF32", share_apart(expected, fast), "of all", at_most=ALIKE)


def too_little_memory(segmenter: Segmenter, settings: Settings, rows: Rows) -> None:
    """Take the memory away after the first tile: the pass must use smaller ones, and finish."""
    tile, name = TILE[settings.on_gpu], "too little memory"
    block = cells(tile // 2, tile // 2, settings.seed)[0]
    pixels = np.tile(block, (4, 4))
    request = SegmentRequest(HEAVY, "YX", settings.device, tile=tile, overlap=tile // 8)
    ballast: Ballast | None = None
    with scarce(settings.device, SMALL_TILE[settings.on_gpu]):
        running = WithResult(segmenter.run(pixels, request))
        try:
            for progress in running:
                if progress.done and settings.on_gpu and ballast is None:
                    ballast = Ballast(settings.device)
        finally:
            if ballast is not None:
                ballast.drop()
    result: Segmentation = running.result
    said = " ".join(result.notices)
    note = said if settings.on_gpu else f"simulated on a CPU. {said}"
    backed_off = float("ran out" in said)
    rows.measured(f"{name}, backed off", backed_off, "", note, at_least=1)
    rows.measured(f"{name}, finished", result.share, "of the image", at_least=1)
    # The same tiles with enough memory.
    expected = segmenter.segment(pixels, result.request).labels
    apart = share_apart(expected, result.labels)
    rows.measured(f"{name}, other pixels than with enough", apart, "of all", at_most=SAME)


def large_zarr(segmenter: Segmenter, settings: Settings, rows: Rows) -> None:
    """Segment an image on disk, as far as the time allows, and compare a part with the CPU's."""
    import zarr

    side = ZARR[settings.on_gpu]
    title = f"Zarr of {side:,} x {side:,}"
    if not rows.enough_time(title, LABELLING):
        return
    chunk = min(1024, side // 2)
    block = cells(chunk, chunk, settings.seed)[0]
    folder = str(Path(settings.folder) / "large.zarr")
    shape, chunks = (side, side), (chunk, chunk)
    image: Any = zarr.create_array(folder, shape=shape, dtype=np.uint8, chunks=chunks)
    for top in range(0, side, chunk):
        image[top : top + chunk] = np.tile(block, (1, -(-side // chunk)))[: side - top, :side]
    request = SegmentRequest(CHECKPOINT, "YX", settings.device, output="semantic")
    with watched(title, settings.device, rows):
        begun = time.perf_counter()
        stop_at = rows.end - LABELLING
        running = WithResult(segmenter.run(image, request, lambda: time.monotonic() > stop_at))
        for _ in running:
            pass
        taken = time.perf_counter() - begun
    result: Segmentation = running.result
    done = 1.0
    note = "" if result.complete else "stopped when the time was over; the rest was fine"
    rows.measured(f"{title}, finished", done, "of it", note, at_least=0.01)
    speed = done * side**2 / taken / 1e6
    rows.measured(f"{title}, speed", speed, "megapixels a second", f"{taken:.0f} s, labels too")
    part = min(512, side // 2)
    cpu = SegmentRequest(CHECKPOINT, "YX", "cpu", output="semantic", region=f"0,0,{part},{part}")
    expected = Segmenter(segmenter.store).segment(image, cpu).labels[:part, :part]
    apart = share_apart(expected, result.labels[:part, :part])
    rows.measured(f"{title}, other pixels than on the CPU, in a corner", apart, "of all",
                  at_most=ALIKE)  # fmt: skip
