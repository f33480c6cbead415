"""``seglite segment``."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from ..batch import FORMATS, IN_MEMORY, BatchEvent, BatchRequest, run_batch
from ..errors import SegliteError, reason
from ..formats import find_images, replacing
from ..inference import SETTINGS, Segmenter, SegmentRequest, Setting
from ..remote import RemoteSegmenter
from . import clusters, remotes
from .parsing import Commands

# What each kind of labels numbers, for the help.
KINDS = {"semantic": "class", "instances": "object"}


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Segment images and write <stem>_labels.tif, or another format, for each."
    parser = commands.add_parser("segment", help=text, description=text)
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="files, folders of images, or patterns; FILE#2 is the second image in a file",
    )
    parser.add_argument("--checkpoint", required=True, metavar="ID", help="id or folder")
    parser.add_argument(
        "--output",
        required=True,
        type=clusters.place,
        metavar="DIR",
        help="folder of the labels; with several processes also their place, ending in .zarr",
    )
    parser.add_argument(
        "--axes", help="axes of the images, such as ZYX; read from the file if not given"
    )
    for setting in SETTINGS.values():
        _add_option(parser, setting)
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write <stem>_uncertainty.tif, 0 where the network is certain",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="also write a table (CSV) of the images, their labels and the Dice to expect of them, "
        "from their probabilities; look at the lowest first",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="auto",
        help="format of the labels; zarr is OME-Zarr, inside puts them into an OME-Zarr image; "
        "auto, the default, is nifti for NIfTI images and tif for all others",
    )
    parser.add_argument(
        "--scene",
        metavar="WHICH",
        help="image of files that hold several: its number from 1, its name, or all",
    )
    remotes.add_remote(parser)
    clusters.add_to_segment(parser)
    parser.set_defaults(run=run)


def _add_option(parser: argparse.ArgumentParser, setting: Setting) -> None:
    """Add the option of a setting."""
    if setting.flags:
        kinds = parser.add_mutually_exclusive_group()
        for kind in setting.choices:
            text = setting.help.format(KINDS[kind])
            kinds.add_argument(
                f"--{kind}", action="store_const", const=kind, dest=setting.dest, help=text
            )
        return
    if setting.parse is bool:
        parser.add_argument(setting.option, action="store_true", help=setting.help)
        return
    numeric = setting.parse in (int, float) and setting.name != "rescale"
    parser.add_argument(
        setting.option,
        type=setting.parse if numeric else str,
        default="1" if setting.name == "rescale" else setting.default,
        choices=setting.choices or None,
        metavar=setting.metavar,
        help=setting.help or None,
    )


def run(arguments: argparse.Namespace) -> int:
    """Segment every image; a file that fails is reported and the others continue."""
    connection = remotes.connection_to(arguments)
    if clusters.asked(arguments):
        if connection is not None:
            raise SegliteError(
                "--remote sends whole images to one computer, without blocks. For blocks, choose "
                "--dask."
            )
        return clusters.segment(arguments, _request(arguments))
    show = sys.stderr.isatty()
    failed = 0
    rows: list[tuple[str, str, str]] = []
    found = find_images(arguments.images)
    for sentence in found.left_out:
        print(f"seglite: {sentence}", file=sys.stderr)
    segmenter = Segmenter(in_memory=IN_MEMORY)
    if connection is not None:
        segmenter = RemoteSegmenter(in_memory=IN_MEMORY, connection=connection)
    for event in run_batch(found.paths, _request(arguments), segmenter):
        if event.progress is not None:
            _report_progress(event, show)
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
            quality = "" if event.quality is None else f"{event.quality:.3f}"
            rows.append((str(event.path), str(event.target), quality))
    if arguments.table is not None:
        _write_table(arguments.table, rows)
    return 1 if failed else 0


def _write_table(path: Path, rows: list[tuple[str, str, str]]) -> None:
    """Write the images, their labels and their expected quality."""
    try:
        with (
            replacing(path) as temporary,
            # Names of files may be no text.
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(("image", "labels", "expected_dice"))
            writer.writerows(rows)
    except OSError as error:
        raise SegliteError(
            f"The table cannot be written: {reason(error, path)}. The labels are there."
        ) from error


def _report_progress(event: BatchEvent, show: bool) -> None:
    """Print progress in place on a terminal; elsewhere only what is prepared once."""
    text = event.progress.text if event.progress else ""
    if show:
        print(f"\r\x1b[K{event.path.name}: {text}", end="", file=sys.stderr, flush=True)
    elif "Compiling" in text or "OpenVINO" in text:
        print(f"seglite: {text}", file=sys.stderr)


def _request(arguments: argparse.Namespace) -> BatchRequest:
    """Build the request from the parsed command line."""
    by_word = arguments.rescale in ("match", "auto")
    values = {**vars(arguments), **({"rescale": "1"} if by_word else {})}
    try:
        settings = {name: setting.read(values[setting.dest]) for name, setting in SETTINGS.items()}
    except ValueError:  # argparse has read all other numbers
        raise SegliteError(
            f"--rescale takes a number, match or auto, not {arguments.rescale!r}."
        ) from None
    segment = SegmentRequest(arguments.checkpoint, arguments.axes or "YX", **settings)
    return BatchRequest(
        segment,
        Path(arguments.output),
        axes=arguments.axes,
        format=arguments.format,
        uncertainty=arguments.uncertainty,
        match=arguments.rescale == "match",
        auto=arguments.rescale == "auto",
        scene=arguments.scene,
    )
