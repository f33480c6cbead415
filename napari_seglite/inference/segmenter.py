"""Segment images: load the checkpoint, run the pass, and label the probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, Intensities, measure_intensities
from ..errors import Cancelled, CheckpointError, DeviceError, ImageError, SegliteError
from ..images import Box, ImageAxes, at_level
from ..labels import labelling_text, separation_kernels
from ..runtime import (
    COMPILING,
    MemoryFormat,
    Stop,
    compile_apart,
    devices,
    drain,
    memory_format,
    never,
    scan_kernels,
    wait_for_kernels,
    warm_up,
)
from .choice import RuntimeChoice
from .guided import check_guided
from .image_pass import ImagePass
from .outputs import Outputs
from .preloading import run_small
from .progress import Progress, View
from .request import LABELLING, SegmentRequest
from .result import Segmentation, labelled
from .runtimes import Runtime

if TYPE_CHECKING:
    from torch import nn

# An image whose brightest pixel is below this share of the range of its numbers is too dark; 12
# bits in 16 are at 0.06.
DARK = 0.1


@dataclass
class _Loaded:
    """The network in memory."""

    sha: str
    device: str
    info: CheckpointInfo
    network: nn.Module
    choice: RuntimeChoice
    memory_format: MemoryFormat | None = None
    settled: bool = False


@dataclass
class Segmenter:
    """Segments images, and keeps the last network in memory for the next call.

    Parameters
    ----------
    store : CheckpointStore, optional
        Store of the checkpoints.
    in_memory : int, optional
        Bytes; larger labels and probabilities are kept in a temporary folder. `chunked.IN_MEMORY`
        if not given, since napari edits and draws those in memory faster.
    tunes : bool
        Whether to look for a faster way to compute once that pays, for later runs from this store.

    Examples
    --------
    >>> segmenter = Segmenter()  # doctest: +SKIP
    >>> request = SegmentRequest("nuclei-s-net", "YX")  # doctest: +SKIP
    >>> masks = [segmenter.segment(image, request).labels for image in images]  # doctest: +SKIP
    """

    store: CheckpointStore = field(default_factory=CheckpointStore)
    in_memory: int | None = None
    tunes: bool = True
    _loaded: _Loaded | None = None

    def run(
        self,
        image: Any,
        request: SegmentRequest,
        stop: Stop = never,
        resume: Segmentation | None = None,
        view: Callable[[], View | None] = lambda: None,
    ) -> Generator[Progress, None, Segmentation]:
        """Segment an image.

        Parameters
        ----------
        image : array
            Any array that NumPy can index, with the request's axes and a real dtype; or a sequence
            of arrays, the levels of a multiscale image.
        request : SegmentRequest
            Settings of the segmentation.
        stop : callable
            Called between layers; once it returns True, the finished part is returned, or
            `Cancelled` is raised if nothing is finished.
        resume : Segmentation, optional
            A cancelled result of the same image. Its finished part is not computed again if the
            request differs only in how probabilities become labels.
        view : callable
            Returns what the user sees now, which is computed first; the result is the same.

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
            If the checkpoint is missing, damaged, does not fit the image, or gives numbers that are
            NaN or infinite.
        DeviceError
            If there is no such device, or no device has enough memory for the smallest tiles.
        Cancelled
            If `stop` returned True before anything was finished.
        """
        result = yield from self.predict(image, request, stop, resume, view)
        request, info = result.request, result.info
        output = request.output_for(info)
        yield Progress(labelling_text(output, info.head), frames=len(result.frames))
        if output == "instances":
            wait_for_kernels(separation_kernels(bool(info.head)), never)
        return labelled(result, request, self.in_memory)

    def predict(
        self,
        image: Any,
        request: SegmentRequest,
        stop: Stop = never,
        resume: Segmentation | None = None,
        view: Callable[[], View | None] = lambda: None,
        known: Intensities | None = None,
    ) -> Generator[Progress, None, Segmentation]:
        """Do all that `run` does, but for the labels.

        Parameters
        ----------
        image, request, stop, resume, view
            See `run`, also for what is yielded and raised. Without probabilities, a result to
            resume says what is finished elsewhere, and only the rest is filled in.
        known : Intensities, optional
            Of the whole image, if they were measured already.

        Returns
        -------
        Segmentation
            With None for labels.
        """
        import torch

        image = at_level(image, request.level)
        frames = chosen_frames(image, request)

        yield Progress("Loading the network …", frames=len(frames))
        request = replace(request, device=devices.resolve(request.device))
        loaded = self._load(request)
        request = request.resolved(loaded.info)
        scan = scan_kernels(loaded.info.network, request.device)
        if request.output_for(loaded.info) == "instances":  # beside the network
            compile_apart(separation_kernels(bool(loaded.info.head)))
        if scan.missing():
            yield Progress(COMPILING, frames=len(frames))
            wait_for_kernels(scan, stop)
        warm_up(loaded.info.network, request.device)
        if resume is not None and not resume.complete:
            request = _as_begun(request, resume.request)
        asked = request
        runtime, notices = yield from loaded.choice.choose(request, stop)
        if runtime.name == "torch" and not loaded.settled:
            run_small(loaded.network, loaded.info, request.device)
            loaded.settled = True
        request = replace(request, runtime=runtime.name, precision=runtime.precision)

        found = known
        if found is None:
            yield Progress("Reading the image …", frames=len(frames))
            axes, channels = ImageAxes(request.axes), request.channels
            found = measure_intensities(image, axes, loaded.info, channels, stop)

        image_pass = ImagePass(
            image,
            frames,
            loaded.info,
            loaded.network,
            request,
            found.limits,
            notices,
            view,
            runtime,
        )
        outputs = _resume_or_begin(image_pass, resume, self.in_memory)
        start = time.monotonic()
        complete = yield from self._predict(image_pass, outputs, loaded, runtime, stop)
        if complete and self.tunes and runtime.name == "torch":
            loaded.choice.computed(asked, time.monotonic() - start)

        return Segmentation(
            labels=None,
            probabilities=outputs.probabilities,
            frames=frames,
            request=image_pass.request,
            info=loaded.info,
            shape=image.shape,
            memory_format=loaded.memory_format or "",
            threads=torch.get_num_threads(),
            notices=(*_image_notices(found), *image_pass.told()),
            tiles=None if complete else image_pass.tiles,
            coverage=None if complete else image_pass.coverage(),
            disagreement=outputs.disagreement,
            head=outputs.head,
        )

    def segment(self, image: Any, request: SegmentRequest) -> Segmentation:
        """Segment an image and return the result; see `run` for arguments and errors."""
        return drain(self.run(image, request))

    def predict_window(
        self,
        image: Any,
        request: SegmentRequest,
        limits: tuple[float, float],
        frames: tuple[int, ...],
        window: Box,
    ) -> Outputs:
        """Predict a part of an image exactly as a pass over the whole of it would.

        Parameters
        ----------
        image : array
            Of the request's level.
        request : SegmentRequest
            Of the whole image. Its device, tiles and runtime are used or nothing is.
        limits : tuple of float
            Intensities of the whole image that become 0 and 1, see `measure_intensities`.
        frames : tuple of int
            Numbers of the frames to predict.
        window : Box
            The part of every frame to predict.

        Raises
        ------
        ImageError, CheckpointError
            As `run` does.
        DeviceError
            If the device has too little memory for the request's tiles, or the runtime cannot be
            used here.
        """
        request = replace(request, device=devices.resolve(request.device))
        loaded = self._load(request)
        warm_up(loaded.info.network, request.device)
        runtime, notices = drain(loaded.choice.choose(request, never))
        if request.runtime not in ("auto", runtime.name):
            raise DeviceError(f"The parts of an image need one runtime. {' '.join(notices)}")
        one = image, frames, loaded.info, loaded.network, request, limits
        image_pass = ImagePass(*one, runtime=runtime, window=window)
        _check_unchanged(image_pass, request)
        outputs = _begin(image_pass)
        drain(self._predict(image_pass, outputs, loaded, runtime, never))
        _check_unchanged(image_pass, request)
        return outputs

    def _load(self, request: SegmentRequest) -> _Loaded:
        """Return the request's network on its device, from memory if it is there."""
        from src_models.folding import fold

        info, device = self.store.info(request.checkpoint), request.device
        folder = self.store.folder.parent
        if info.start_only:
            raise CheckpointError(
                f"Checkpoint {info.id} is a start: only a part of its weights is trained. "
                "Fine-tune it first, and segment with the result."
            )
        # Two checkpoints can share their weights and differ in how an image is normalised.
        wanted = info.weights_sha256, info.options, device
        loaded = self._loaded
        if loaded is None or (loaded.sha, loaded.info.options, loaded.device) != wanted:
            info, network = self.store.load(request.checkpoint)
            network = devices.place(fold(network.eval()), device)
            choice = RuntimeChoice(network, info, self.store.path(request.checkpoint), folder)
            loaded = self._loaded = _Loaded(info.weights_sha256, device, info, network, choice)
        network, loaded.info = loaded.network, info
        used = memory_format.remembered(folder, info, device) or memory_format.usual(info, device)
        if used != loaded.memory_format:
            memory_format.apply(network, used)
            loaded.memory_format, loaded.settled = used, False
        _prune(network, info, request.pruning_level)
        if request.keep_empty:
            check_guided(network, info)
        if request.ensemble == "heads" and not hasattr(network, "row_outputs"):
            raise SegliteError(
                f"The network {info.network} of checkpoint {info.id} has one head alone. "
                "Choose flips."
            )
        return loaded

    def _predict(
        self,
        image_pass: ImagePass,
        outputs: Outputs,
        loaded: _Loaded,
        runtime: Runtime,
        stop: Stop,
    ) -> Generator[Progress, None, bool]:
        """Run the pass and store its pixels; return False if it was stopped on the way."""
        try:
            with runtime.interruptible(stop):
                for progress, position, patch in image_pass.run():
                    if patch is not None:
                        planes = patch.values.astype(np.float16)
                        values = outputs.write(position, patch.box, planes)
                        finished = image_pass.finished(position, patch, values, planes)
                        progress = replace(progress, finished=finished)
                    yield progress
        except Cancelled:
            if image_pass.coverage().empty:
                raise
            return False
        finally:
            loaded.device = image_pass.request.device
            devices.release(loaded.device)
            runtime.release()
        return True


def segment(
    image: Any, request: SegmentRequest, store: CheckpointStore | None = None
) -> Segmentation:
    """Segment an image and return the result.

    Parameters
    ----------
    image, request
        See `Segmenter.run`, also for the errors.
    store : CheckpointStore, optional
        Store of the checkpoints; the user's if not given.

    Returns
    -------
    Segmentation
        Labels and probabilities.

    Examples
    --------
    >>> image = read_image("cells.tif")  # doctest: +SKIP
    >>> request = SegmentRequest("nuclei-s-net", image.axes.order)  # doctest: +SKIP
    >>> segment(image.levels, request).labels.max()  # doctest: +SKIP
    1
    """
    return Segmenter(store or CheckpointStore()).segment(image, request)


def chosen_frames(image: Any, request: SegmentRequest) -> tuple[int, ...]:
    """Check an image and return the numbers of the frames to segment, see `Segmenter.run`."""
    axes = ImageAxes(request.axes)
    axes.check(image.shape)
    count = axes.frame_count(image.shape)
    frames = tuple(range(count)) if request.frames is None else request.frames
    missing = [frame for frame in frames if not 0 <= frame < count]
    if missing:
        raise ImageError(f"There is no frame {missing[0]}: the image has {count}, counted from 0.")
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "buif":
        raise ImageError(f"Images of {dtype} cannot be segmented. Convert to numbers first.")
    return tuple(dict.fromkeys(frames))


def _check_unchanged(image_pass: ImagePass, request: SegmentRequest) -> None:
    """Raise `DeviceError` if too little memory made a pass take other tiles or the CPU."""
    used = image_pass.request
    if (used.tile, used.device) != (request.tile, request.device):
        raise DeviceError(
            f"{' '.join(image_pass.notices)} The parts of an image need the same tiles: start "
            f"again with tiles of {used.tile} pixels, or with more memory."
        )


def _resume_or_begin(
    image_pass: ImagePass, before: Segmentation | None, in_memory: int | None
) -> Outputs:
    """Return the arrays of a pass: those of a cancelled result that it continues, or new ones."""
    if before is None or not _continues(before, image_pass):
        return _begin(image_pass, in_memory)
    if before.tiles is not None:
        image_pass.resume(before.tiles)
    if before.probabilities is None:
        return _begin(image_pass, in_memory)
    return Outputs(before.probabilities, before.head, before.disagreement)


def _begin(image_pass: ImagePass, in_memory: int | None = None) -> Outputs:
    """Return the arrays of a pass before its first tile."""
    frames, plane, limits = len(image_pass.frames), image_pass.box.shape, image_pass.limits
    ensemble = image_pass.request.ensemble
    return Outputs.empty(frames, plane, image_pass.info, ensemble, limits, in_memory)


def _as_begun(request: SegmentRequest, begun: SegmentRequest) -> SegmentRequest:
    """Return a request with the runtime and precision of another, where it leaves them open."""
    if request.runtime not in ("auto", begun.runtime):
        return request
    precision = begun.precision if request.precision == "auto" else request.precision
    return replace(request, runtime=begun.runtime, precision=precision)


def _continues(before: Segmentation, image_pass: ImagePass) -> bool:
    """Whether a cancelled result is the beginning of a pass."""
    same = {name: getattr(before.request, name) for name in LABELLING}
    return (
        not before.complete
        and replace(image_pass.request, **same) == before.request
        and before.info.weights_sha256 == image_pass.info.weights_sha256
        and before.shape == image_pass.image.shape
    )


def _prune(network: Any, info: CheckpointInfo, level: int | None) -> None:
    """Set the depth to which a network with pruning levels computes."""
    levels = src_models.card(info.network).pruning_levels
    if level is not None and level not in levels:
        offered = f"levels {levels[0]} to {levels[-1]}" if levels else "no pruning levels"
        raise SegliteError(
            f"The network {info.network} of checkpoint {info.id} has {offered}, not {level}."
        )
    if levels:
        network.level = level or levels[-1]


def _image_notices(found: Intensities) -> tuple[str, ...]:
    """Return messages about missing pixels, and about images that are constant or dark."""
    notices = []
    if found.missing:
        notices.append(f"{found.missing} pixels are NaN or infinite and were treated as missing.")
    if found.limits[0] >= found.limits[1]:
        notices.append("All pixels of the image are equal, so there is nothing to find.")
    if found.filled < DARK:
        notices.append(
            f"The image uses {found.filled:.1%} of the range of its numbers, all of which this "
            "checkpoint reads, so it looks black. Stretch its intensities to that range first."
        )
    return tuple(notices)
