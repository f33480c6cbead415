"""The steps of a block: segment it, link it to its neighbours, number the objects, finish it.

Each function does one unit of a step and marks it. Any process that reads the ledger can do any
unit, in any order within a step, and twice if need be: the same unit writes the same pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import CheckpointError, ImageError, SegliteError
from ..formats import BlockLabels, open_labels, read_image
from ..images import Box, ImageAxes, at_level
from ..inference import Segmenter
from ..labels import Interior, Part, measured_labels
from .cut import Block, within
from .ledger import Job, Ledger, Step
from .merging import agreeing, numbered, offsets, split
from .tables import BlockTable, pack, unpack

# Ids before objects are numbered have this bit, so that relabelling a block twice, or the rest of
# it after a crash, changes nothing.
PROVISIONAL = 1 << 31
# A hole is looked for at most this many pixels around a block.
LARGEST_HOLE = 512


@dataclass(frozen=True)
class Opened:
    """What a process keeps open for the units of a job."""

    ledger: Ledger
    image: Any
    segmenter: Segmenter
    info: CheckpointInfo
    labels: BlockLabels

    @property
    def job(self) -> Job:
        """The job."""
        return self.ledger.job

    @property
    def axes(self) -> ImageAxes:
        """Axes of the image."""
        return ImageAxes(self.job.request.axes)

    @property
    def objects(self) -> bool:
        """Whether labels are objects rather than classes."""
        return self.job.request.output == "instances"

    @property
    def planar(self) -> bool:
        """Whether frames have nothing to do with each other."""
        return self.objects and self.job.request.stack_objects == "slices"

    def where(self, number: int) -> dict[str, int | slice]:
        """Return the place of a block in the labels."""
        volume, (z, y, x) = self.job.cut.volume(number), self.job.cut.core(number)
        return {"T": volume, "Z": z, "Y": y, "X": x}

    def write(self, number: int, values: np.ndarray, *, coarser: bool) -> None:
        """Write the pixels of a block, ``(d, h, w)``."""
        axes = self.axes.labels
        if "Z" not in axes:
            values = values[0]
        kept = [axis for axis in "ZYX" if axis in axes]
        order = [kept.index(axis) for axis in axes if axis in kept]
        self.labels.write(self.where(number), values.transpose(order), coarser=coarser)

    def read(self, number: int) -> np.ndarray:
        """Return the pixels of a block, ``(d, h, w)``."""
        axes = self.axes.labels
        values = self.labels.read(self.where(number))
        held = [axis for axis in axes if axis in "ZYX"]
        values = values.transpose([held.index(axis) for axis in "ZYX" if axis in held])
        return values if "Z" in axes else values[None]


_lock = Lock()


@lru_cache(maxsize=1)
def opened(place: str, job: Job) -> Opened:
    """Return what a process keeps open for a job.

    Parameters
    ----------
    place : str
        Path or address of the labels.
    job : Job
        What their ledger says.

    Raises
    ------
    SegliteError
        If the image or the checkpoint cannot be read, or is not the one of the job.
    """
    ledger = Ledger(place)
    image = at_level(list(read_image(job.source).levels), job.request.level)
    if tuple(image.shape) != job.shape:
        raise ImageError(
            f"{job.source}: the image has another shape, {tuple(image.shape)}, than when its "
            f"segmentation began, {job.shape}."
        )
    segmenter = Segmenter(CheckpointStore())
    info = segmenter.store.info(job.request.checkpoint)
    if info.weights_sha256 != job.weights:
        raise CheckpointError(
            f"Checkpoint {info.id} has other weights here than where the segmentation began."
        )
    labels = open_labels(place, ImageAxes(job.request.axes).labels, job.cut.edges[1])
    return Opened(ledger, image, segmenter, info, labels)


def work(place: str, step: Step, number: int) -> int:
    """Do a unit of a step, unless it is done, and return its number.

    Parameters
    ----------
    place : str
        Path or address of the labels.
    step : str
        One of `STEPS`.
    number : int
        Of the unit.
    """
    # One unit at a time: the network in memory has one user.
    with _lock:
        here = opened(place, Ledger(place).job)
        if not here.ledger.marked(step, number):
            if step == "number":
                number_all(here.ledger)
            else:
                {"segment": segment, "link": link, "finish": finish}[step](here, number)
        return number


# ------------------------------------------------------------------ segment
def segment(here: Opened, number: int) -> None:
    """Segment a block and its margins, and write its pixels with provisional ids."""
    cut, request = here.job.cut, here.job.request
    grown, core = cut.grown(number), cut.core(number)
    part = _part(here, number, grown)
    inside = within(core, grown)
    if here.objects:
        ids = part.objects(here.planar, request.slice_spacing or 1.0)
        table = _table(here, number, ids, part)
        values = np.where(ids[inside] > 0, ids[inside] | PROVISIONAL, 0).astype(np.uint32)
    else:
        values = part.classes()[inside]
        table = BlockTable.empty()
        if here.job.merges:
            values, table = _mask_table(here, number, part, values)
    if here.ledger.marked("number", 0):
        raise SegliteError(f"{here.ledger.place}: another process finished this block already.")
    if values.any():
        here.write(number, values, coarser=not here.job.merges)
    here.ledger.mark("segment", number, table.packed())


def _part(here: Opened, number: int, grown: Block) -> Part:
    """Return the foreground of a block and its margins."""
    job, request, info = here.job, here.job.request, here.info
    cut = job.cut
    z, y, x = grown
    halo = int(4 * request.smooth + 0.5) + min(request.fill_holes, LARGEST_HOLE)
    window = Box(y.start, x.start, y.stop, x.stop).grown(halo, cut.shape[1:])
    frames = here.axes.volumes(job.shape)[cut.volume(number)][z]
    found = here.segmenter.predict_window(here.image, request, job.limits, tuple(frames), window)
    interior = None
    if found.head is not None:
        interior = Interior(info.head, found.head, request.split_depth_for(info))
    own = Box(y.start, x.start, y.stop, x.stop).within(window)
    inner = (slice(0, len(frames)), own.rows, own.columns)
    return Part.of(
        found.probabilities,
        interior,
        request.threshold,
        request.smooth,
        request.fill_holes,
        inner,
    )


def _table(here: Opened, number: int, ids: np.ndarray, part: Part) -> BlockTable:
    """Return the table of a block's objects."""
    cut = here.job.cut
    grown, core = cut.grown(number), cut.core(number)
    count = int(ids.max(initial=0))
    if not count:
        return BlockTable.empty()
    inside = within(core, grown)
    own = np.ascontiguousarray(ids[inside])
    corner = np.array([edge.start for edge in core])
    sizes, first = measured_labels(own, count, corner, cut.shape)
    plane = cut.shape[1] * cut.shape[2]
    z, rest = np.divmod(first, plane)
    if here.planar:
        frames = np.array(here.axes.volumes(here.job.shape)[cut.volume(number)])
        first = frames[z] * plane + rest
    else:
        first = first + cut.volume(number) * cut.shape[0] * plane
    sums: np.ndarray = np.zeros(count)
    if here.job.request.least_probability:
        weights = part.probability()[inside].ravel()
        sums = np.bincount(own.ravel(), weights, count + 1)[1:]
    _write_strips(here, number, ids)
    return BlockTable(sizes, first, sums)


def _write_strips(here: Opened, number: int, ids: np.ndarray) -> None:
    """Store the labels that a block shares with each neighbour, where there are any."""
    cut = here.job.cut
    grown = cut.grown(number)
    for other in cut.neighbours(number):
        labels = ids[within(cut.shared(number, other), grown)]
        if labels.any():
            here.ledger.write_strip(number, other, labels.astype(np.uint32))


def _mask_table(
    here: Opened, number: int, part: Part, values: np.ndarray
) -> tuple[np.ndarray, BlockTable]:
    """Remove what is too small from classes; return them and what needs the neighbours' word."""
    cut, smallest = here.job.cut, here.job.request.min_size or 0
    grown = cut.grown(number)
    inside = within(cut.core(number), grown)
    parts = part.components()
    count = int(parts.max(initial=0))
    own = parts[inside]
    sizes = np.bincount(own.ravel(), minlength=count + 1)
    alone = sizes == np.bincount(parts.ravel(), minlength=count + 1)
    small = sizes < smallest
    removed = small & alone
    removed[0] = False
    values = np.where(removed[own], 0, values)
    doubtful = small & ~alone
    doubtful[0] = False
    pixels = np.flatnonzero(doubtful[own])
    _write_strips(here, number, parts)
    table = BlockTable(
        sizes[1:].astype(np.int64),
        np.zeros(count, np.int64),
        np.zeros(count),
        pixels,
        own.ravel()[pixels].astype(np.uint32),
    )
    return values, table


# ------------------------------------------------------------------ link
def link(here: Opened, batch: int) -> None:
    """Find which objects of a batch of blocks go on in later neighbours."""
    ledger, cut = here.ledger, here.job.cut
    blocks = ledger.blocks_of(batch)
    tables: dict[int, BlockTable] = {}

    def table(number: int) -> BlockTable:
        if number not in tables:
            tables[number] = BlockTable.unpacked(ledger.content("segment", number))
        return tables[number]

    one, other, pairs = [], [], []
    for number in blocks:
        for later in cut.neighbours(number):
            strip = ledger.strip(number, later) if later > number else None
            theirs = None if strip is None else ledger.strip(later, number)
            if strip is None or theirs is None:
                continue
            found = agreeing(strip, theirs, not here.objects)
            # Parts without a pixel in their block are a neighbour's business.
            there = table(number).sizes[found[:, 0] - 1] > 0
            found = found[there & (table(later).sizes[found[:, 1] - 1] > 0)]
            one.append(np.full(len(found), number, np.int64))
            other.append(np.full(len(found), later, np.int64))
            pairs.append(found)
    own = [table(k) for k in blocks]
    ledger.mark(
        "link",
        batch,
        pack(
            counts=np.array([len(each.sizes) for each in own], np.int64),
            sizes=np.concatenate([each.sizes for each in own]),
            first=np.concatenate([each.first for each in own]),
            sums=np.concatenate([each.sums for each in own]),
            one=np.concatenate([np.zeros(0, np.int64), *one]),
            other=np.concatenate([np.zeros(0, np.int64), *other]),
            pairs=np.concatenate([np.zeros((0, 2), np.int64), *pairs]),
        ),
    )


# ------------------------------------------------------------------ number
def number_all(ledger: Ledger) -> None:
    """Store the ids of the objects of every batch of blocks."""
    request = ledger.job.request
    objects = request.output == "instances"
    batches = [unpack(ledger.content("link", k)) for k in range(ledger.units("link"))]
    begins = offsets(np.concatenate([batch["counts"] for batch in batches]))
    pairs = np.concatenate(
        [np.stack([begins[b["one"]], begins[b["other"]]], 1) + b["pairs"] - 1 for b in batches]
    )
    sizes, first, sums = (
        np.concatenate([batch[name] for batch in batches]) for name in ("sizes", "first", "sums")
    )
    least = (request.least_probability or 0.0) if objects else 0.0
    found = numbered(sizes, first, sums, pairs, request.min_size or 0, least)
    if found.objects >= PROVISIONAL:
        raise SegliteError(f"{ledger.place}: {found.objects:,} objects are more than ids.")
    counts = [batch["counts"] for batch in batches]
    ends = offsets(np.array([int(each.sum()) for each in counts]))
    for number, (ids, each) in enumerate(zip(split(found.ids, ends), counts, strict=True)):
        ledger.write_ids(number, {"ids": ids.astype(np.uint32), "begins": offsets(each)})
    count = found.objects if objects else 0
    ledger.mark("number", 0, json.dumps({"objects": count}).encode())


# ------------------------------------------------------------------ finish
def finish(here: Opened, number: int) -> None:
    """Give the objects of a block their final ids, and write its coarser levels."""
    ledger = here.ledger
    table = BlockTable.unpacked(ledger.content("segment", number))
    values = here.read(number)
    if values.any():
        values = _final(here, number, values, table)
        here.write(number, values, coarser=True)
    ledger.mark("finish", number)


def _final(here: Opened, number: int, values: np.ndarray, table: BlockTable) -> np.ndarray:
    """Return the final labels of a block."""
    if not here.objects:
        if len(table.pixels):
            gone = here.ledger.ids(number)[table.owner] == 0
            values = values.copy()
            values.reshape(-1)[table.pixels[gone]] = 0
        return values
    waiting = values >= PROVISIONAL
    if not waiting.any():
        return values
    ids = here.ledger.ids(number)
    numbers = np.where(waiting, values & np.uint32(PROVISIONAL - 1), 0)
    return np.where(waiting, ids[numbers], values)
