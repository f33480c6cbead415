"""``seglite segment``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.axes import ImageAxes
from ..engine.requests import ENSEMBLES, SegmentRequest, parse_numbers
from ..engine.segmentation import Segmentation
from ..engine.segmenter import Segmenter
from ..engine.spacing import matching_rescale, micrometres
from ..engine.uncertainty import uncertainty
from ..errors import SegliteError
from ..store.checkpoints import CheckpointInfo
from ..store.images import ImageFile, read_image, stem, write_labels

DEFAULTS = SegmentRequest("default", "YX")


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    text = "Segment images and write <stem>_labels.tif or .zarr for each."
    parser = commands.add_parser("segment", help=text, description=text)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--checkpoint", required=True, metavar="ID", help="id or folder")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--axes", help="axes of the images, such as ZYX; read from the file if not given"
    )
    parser.add_argument("--device", default=DEFAULTS.device, help="auto, cpu, cuda or mps")
    parser.add_argument("--threshold", type=float, default=DEFAULTS.threshold)
    parser.add_argument("--min-size", type=int, default=DEFAULTS.min_size, help="pixels")
    parser.add_argument(
        "--smooth", type=float, default=DEFAULTS.smooth, help="width of a Gaussian, pixels"
    )
    parser.add_argument(
        "--fill-holes", type=int, default=DEFAULTS.fill_holes, help="largest hole to fill, pixels"
    )
    parser.add_argument("--instances", action="store_true", help="one label an object")
    parser.add_argument("--frames", help="slices of a stack, such as 0,3,5-9; all if not given")
    parser.add_argument("--channels", help="of the image, such as 0,2; all if not given")
    parser.add_argument(
        "--region",
        help="part of the image: top,left,bottom,right in pixels, or a polygon as y,x y,x y,x",
    )
    parser.add_argument(
        "--level", type=int, default=DEFAULTS.level, help="of a multiscale image, 0 the finest"
    )
    parser.add_argument(
        "--rescale",
        default="1",
        metavar="FACTOR",
        help="how much larger the network sees the images; match for the pixel size it learnt",
    )
    parser.add_argument(
        "--ensemble",
        choices=ENSEMBLES,
        default=DEFAULTS.ensemble,
        help="mean of mirrored images or of a network's heads",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write <stem>_uncertainty.tif, 0 where the network is sure",
    )
    parser.add_argument(
        "--format", choices=("tif", "zarr"), default="tif", help="of the labels; zarr is OME-Zarr"
    )
    parser.add_argument("--tile", type=int, default=DEFAULTS.tile, help="pixels")
    parser.add_argument("--overlap", type=int, default=DEFAULTS.overlap, help="pixels")
    parser.add_argument(
        "--pruning-level", type=int, metavar="N", help="compute less of a network that allows it"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Segment every image; a bad one is reported and the rest go on."""
    segmenter = Segmenter()
    segmenter.store.info(arguments.checkpoint)  # a wrong name is one error, not one an image
    failed = 0
    for path in arguments.images:
        try:
            target = _segment(segmenter, path, arguments)
            print(target)
        except SegliteError as error:
            failed += 1
            text = str(error)
            named = text if str(path) in text else f"{path}: {text}"
            print(f"seglite: {named}", file=sys.stderr)
    return 1 if failed else 0


def _segment(segmenter: Segmenter, path: Path, arguments: argparse.Namespace) -> Path:
    image = read_image(path)
    info = segmenter.store.info(arguments.checkpoint)
    request = SegmentRequest(
        checkpoint=arguments.checkpoint,
        axes=arguments.axes or image.axes.order,
        device=arguments.device,
        threshold=arguments.threshold,
        min_size=arguments.min_size,
        smooth=arguments.smooth,
        fill_holes=arguments.fill_holes,
        output="instances" if arguments.instances else "semantic",
        frames=parse_numbers(arguments.frames) if arguments.frames else None,
        channels=parse_numbers(arguments.channels, "channels") if arguments.channels else None,
        region=arguments.region,
        level=arguments.level,
        tile=arguments.tile,
        overlap=arguments.overlap,
        pruning_level=arguments.pruning_level,
        rescale=_rescale(arguments, image, info),
        ensemble=arguments.ensemble,
    )
    result = _run(segmenter, image, request, path.name)
    for notice in result.notices:
        print(f"seglite: {path}: {notice}", file=sys.stderr)
    target: Path = arguments.output / f"{stem(path)}_labels.{arguments.format}"
    ndim = result.labels.ndim
    spacing = image.spacing_at(request.level) if len(image.spacing) == ndim else None
    place: dict[str, Any] = {
        "recipe": result.recipe(),
        "spacing": spacing,
        "unit": image.unit,
        "axes": ImageAxes(request.axes).labels,
    }
    write_labels(target, result.labels, **place)
    if arguments.uncertainty:
        *_, found = uncertainty(result)
        values = np.asarray(found.values[:], np.float32)
        write_labels(arguments.output / f"{stem(path)}_uncertainty.tif", values, **place)
    return target


def _rescale(arguments: argparse.Namespace, image: ImageFile, info: CheckpointInfo) -> float:
    if arguments.rescale != "match":
        try:
            return float(arguments.rescale)
        except ValueError:
            raise SegliteError(
                f"--rescale takes a number or match, not {arguments.rescale!r}."
            ) from None
    factor = matching_rescale(info, micrometres(image.spacing_at(arguments.level), image.unit))
    if factor is None:
        missing = "checkpoint " + info.id if info.spacing is None else "image"
        raise SegliteError(
            f"Sizes cannot be matched: the pixel size of the {missing} is unknown. "
            "Give --rescale a number."
        )
    return factor


def _run(
    segmenter: Segmenter, image: ImageFile, request: SegmentRequest, name: str
) -> Segmentation:
    """Drive the engine and show progress on one line of a terminal."""
    show = sys.stderr.isatty()
    steps = segmenter.run(image.levels, request)
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            if show:
                print("\r\x1b[K", end="", file=sys.stderr)
            result: Segmentation = end.value
            return result
        if show:
            print(f"\r\x1b[K{name}: {progress.text}", end="", file=sys.stderr, flush=True)
        elif "Compiling" in progress.text:
            print(f"seglite: {progress.text}", file=sys.stderr)
