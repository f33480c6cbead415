"""``seglite segment``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..batch import FORMATS, BatchRequest, run_batch
from ..errors import SegliteError
from ..inference import ENSEMBLES, Segmenter, SegmentRequest, parse_numbers

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
        "--format", choices=FORMATS, default="tif", help="of the labels; zarr is OME-Zarr"
    )
    parser.add_argument("--tile", type=int, default=DEFAULTS.tile, help="pixels")
    parser.add_argument("--overlap", type=int, default=DEFAULTS.overlap, help="pixels")
    parser.add_argument(
        "--pruning-level", type=int, metavar="N", help="compute less of a network that allows it"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Segment every image; a bad one is reported and the rest go on."""
    show = sys.stderr.isatty()
    failed = 0
    for event in run_batch(arguments.images, _request(arguments), Segmenter()):
        if event.progress is not None:
            text = event.progress.text
            if show:
                line = f"\r\x1b[K{event.path.name}: {text}"
                print(line, end="", file=sys.stderr, flush=True)
            elif "Compiling" in text:
                print(f"seglite: {text}", file=sys.stderr)
            continue
        if show:
            print("\r\x1b[K", end="", file=sys.stderr)
        for notice in event.notices:
            print(f"seglite: {event.path}: {notice}", file=sys.stderr)
        if event.error:
            failed += 1
            print(f"seglite: {event.error}", file=sys.stderr)
        else:
            print(event.target)
    return 1 if failed else 0


def _request(arguments: argparse.Namespace) -> BatchRequest:
    try:
        rescale = 1.0 if arguments.rescale == "match" else float(arguments.rescale)
    except ValueError:
        raise SegliteError(
            f"--rescale takes a number or match, not {arguments.rescale!r}."
        ) from None
    segment = SegmentRequest(
        checkpoint=arguments.checkpoint,
        axes=arguments.axes or "YX",
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
        rescale=rescale,
        ensemble=arguments.ensemble,
    )
    return BatchRequest(
        segment,
        arguments.output,
        axes=arguments.axes,
        format=arguments.format,
        uncertainty=arguments.uncertainty,
        match=arguments.rescale == "match",
    )
