"""A checkpoint and an image in, probabilities and labels out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, measure_intensities
from ..errors import Cancelled, ImageError, SegliteError
from ..images import ImageAxes, at_level, chunked
from ..labels import labelling_text
from ..runtime import (
    COMPILING,
    Stop,
    devices,
    interruptible,
    memory_format,
    needs_compiling,
    never,
    warm_up,
)
from .image_pass import ImagePass, Progress
from .request import SegmentRequest
from .result import Segmentation, labelled

if TYPE_CHECKING:
    from torch import nn


@dataclass
class _Loaded:
    sha: str
    device: str
    info: CheckpointInfo
    network: nn.Module
    layout: str | None = None


@dataclass
class Segmenter:
    """Segments images; keeps the last network in memory for the next call.

    Parameters
    ----------
    store : CheckpointStore, optional
        Where checkpoints come from.
    """

    store: CheckpointStore = field(default_factory=CheckpointStore)
    _loaded: _Loaded | None = None

    def run(
        self,
        image: Any,
        request: SegmentRequest,
        stop: Stop = never,
        resume: Segmentation | None = None,
    ) -> Generator[Progress, None, Segmentation]:
        """Segment an image.

        Parameters
        ----------
        image : array
            Anything that NumPy can index, with the request's axes and any real dtype; or a
            sequence of such, the levels of a multiscale image.
        request : SegmentRequest
            What to do.
        stop : callable
            Asked between layers; once it returns True, what is finished is returned, and if nothing
            is, `Cancelled` is raised.
        resume : Segmentation, optional
            Of the same image, and cancelled: what it finished is not done again, if the request
            is the same but for how probabilities become labels.

        Yields
        ------
        Progress
            After every tile.

        Returns
        -------
        Segmentation
            As the value of the generator; see `segment` for a plain function.

        Raises
        ------
        ImageError
            If the image cannot be segmented.
        CheckpointError
            If the checkpoint is missing, damaged, or does not fit the image.
        DeviceError
            If there is no such device, or no device has enough memory for the smallest tiles.
        Cancelled
            If `stop` returned True before anything was finished.
        """
        axes, image = ImageAxes(request.axes), at_level(image, request.level)
        axes.check(image.shape)
        frames = _chosen_frames(request, axes.frame_count(image.shape))
        dtype = np.dtype(image.dtype)
        if dtype.kind not in "buif":
            raise ImageError(f"Images of {dtype} cannot be segmented. Convert to numbers first.")

        yield Progress("Loading the network …", frames=len(frames))
        request = replace(request, device=devices.resolve(request.device))
        loaded = self._load(request)
        info = loaded.info
        if needs_compiling(info.network, request.device):
            yield Progress(COMPILING, frames=len(frames))
        warm_up(info.network, request.device)

        yield Progress("Reading the image …", frames=len(frames))
        limits, missing = measure_intensities(image, axes, info, request.channels, stop)
        sweep = ImagePass(image, frames, info, loaded.network, request, limits)
        inner = sweep.area.inner_shape
        if resume is not None and _continues(resume, sweep):
            values, spread = resume.probabilities, resume.disagreement
            sweep.resume(resume.bands or sweep.bands)
        else:
            values, spread = chunked.zeros((len(frames), info.classes, *inner), np.float16), None
            if request.ensemble != "none":
                spread = chunked.zeros((len(frames), *inner), np.float16)
        if limits[0] >= limits[1] and info.classes > 1:
            values[:, 0] = 1  # background
        finished = yield from self._fill(values, spread, sweep, loaded, stop)
        request = sweep.request
        yield Progress(labelling_text(request.output), frames=len(frames))
        notices = _notices(missing, limits)
        result = Segmentation(
            labels=None,
            probabilities=values,
            frames=frames,
            request=request,
            info=info,
            shape=image.shape,
            layout=loaded.layout or "",
            notices=(*notices, *sweep.notices),
            bands=() if finished else tuple(sweep.bands),
            rows=() if finished else sweep.rows_done(),
            disagreement=spread,
        )
        return labelled(result, request)

    def segment(self, image: Any, request: SegmentRequest) -> Segmentation:
        """Do what `run` does in one call and return its result."""
        steps = self.run(image, request)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: Segmentation = end.value
                return result

    def _fill(
        self, values: Any, spread: Any, sweep: ImagePass, loaded: _Loaded, stop: Stop
    ) -> Generator[Progress, None, bool]:
        """Write the probabilities of a sweep, and where an ensemble disagrees.

        Returns False if it was stopped on its way.
        """
        try:
            with interruptible(sweep.network, stop):
                if loaded.layout is None:
                    yield Progress(memory_format.MEASURING, frames=len(sweep.frames))
                    folder, device = self.store.folder.parent, sweep.request.device
                    loaded.layout = memory_format.measure(
                        folder, loaded.info, sweep.network, device
                    )
                for progress, position, band in sweep.run():
                    if band is not None:
                        found, classes = band.values.astype(np.float16), values.shape[1]
                        values[position, :, band.rows, :] = found[:classes]
                        if spread is not None:
                            spread[position, band.rows, :] = found[classes]
                        progress = replace(
                            progress, finished=sweep.finished(position, band, found[:classes])
                        )
                    yield progress
        except Cancelled:
            if not any(sweep.rows_done()):
                raise
            return False
        finally:
            loaded.device = sweep.request.device
            devices.release(loaded.device)
        return True

    def _load(self, request: SegmentRequest) -> _Loaded:
        from src_models.folding import fold

        sha, device = self.store.info(request.checkpoint).weights_sha256, request.device
        if self._loaded is None or (self._loaded.sha, self._loaded.device) != (sha, device):
            info, network = self.store.load(request.checkpoint)
            network = devices.place(fold(network.eval()), device)
            layout = memory_format.remembered(self.store.folder.parent, info, device)
            if layout is not None:
                memory_format.arrange(network, layout)
            self._loaded = _Loaded(sha, device, info, network, layout)
        _prune(self._loaded.network, self._loaded.info, request.pruning_level)
        if request.ensemble == "heads" and not hasattr(self._loaded.network, "row_outputs"):
            info = self._loaded.info
            raise SegliteError(
                f"The network {info.network} of checkpoint {info.id} has one head alone. "
                "Choose flips."
            )
        return self._loaded


def segment(
    image: Any, request: SegmentRequest, store: CheckpointStore | None = None
) -> Segmentation:
    """Segment an image and return the result; see `Segmenter.run` for arguments and errors."""
    return Segmenter(store or CheckpointStore()).segment(image, request)


def _chosen_frames(request: SegmentRequest, count: int) -> tuple[int, ...]:
    frames = tuple(range(count)) if request.frames is None else request.frames
    beyond = [f for f in frames if not 0 <= f < count]
    if beyond:
        raise ImageError(f"There is no frame {beyond[0]}: the image has {count}, counted from 0.")
    return tuple(dict.fromkeys(frames))


def _continues(before: Segmentation, sweep: ImagePass) -> bool:
    """Whether a cancelled result is the beginning of a sweep."""
    labelling = ("threshold", "smooth", "fill_holes", "min_size", "output")
    same = {name: getattr(before.request, name) for name in labelling}
    return (
        not before.complete
        and replace(sweep.request, **same) == before.request
        and before.info.weights_sha256 == sweep.info.weights_sha256
        and before.shape == sweep.image.shape
    )


def _prune(network: Any, info: CheckpointInfo, level: int | None) -> None:
    levels = src_models.card(info.network).pruning_levels
    if level is not None and level not in levels:
        offered = f"levels {levels[0]} to {levels[-1]}" if levels else "no pruning levels"
        raise SegliteError(
            f"The network {info.network} of checkpoint {info.id} has {offered}, not {level}."
        )
    if levels:
        network.level = level or levels[-1]


def _notices(missing: int, limits: tuple[float, float]) -> tuple[str, ...]:
    notices = []
    if missing:
        notices.append(f"{missing} pixels are NaN or infinite and were treated as missing.")
    if limits[0] >= limits[1]:
        notices.append("All pixels of the image are equal, so there is nothing to find.")
    return tuple(notices)
