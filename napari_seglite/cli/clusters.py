"""``seglite segment`` by several processes, and ``seglite merge``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from ..batch import BatchRequest, request_for
from ..blocks import (
    STEPS,
    BlockProgress,
    Blocks,
    DaskCluster,
    Driver,
    Ledger,
    LocalProcesses,
    array_script,
    check_ready,
    connect,
    here,
    prepare,
    run,
    run_step,
    submit,
)
from ..errors import SegliteError
from ..formats import is_remote, read_image, split_scene, stem
from ..inference import Segmenter
from ..runtime import never
from .parsing import Commands

# Jobs of a Slurm array, if not given.
PARTS = 16


def place(text: str) -> str | Path:
    """Return the address of a store as it is, anything else as a path."""
    return text if is_remote(text) else Path(text)


def part(text: str) -> tuple[int, int]:
    """Return k - 1 and n of ``k/n``."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"write a part as 1/8 to 8/8, not {text!r}")
    return int(found[1]) - 1, int(found[2])


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"not a number from 1: {text!r}")
    return int(text)


def add_drivers(parser: argparse.ArgumentParser) -> None:
    """Add the options of several processes that share an image."""
    group = parser.add_argument_group(
        "several processes", "One image, block by block; see docs/clusters.md."
    )
    drivers = group.add_mutually_exclusive_group()
    drivers.add_argument("--workers", type=_count, metavar="N", help="processes on this computer")
    drivers.add_argument(
        "--dask", metavar="ADDRESS", help="scheduler of a Dask cluster, such as tcp://host:8786"
    )
    group.add_argument(
        "--dask-resources",
        metavar="NAME=N",
        help="what a block takes of a Dask worker's resources, such as GPU=1",
    )
    group.add_argument(
        "--part",
        type=part,
        metavar="K/N",
        help="do the K-th of N parts of the blocks; plan first, and merge when all are done",
    )


def add_to_segment(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``seglite segment``."""
    add_drivers(parser)
    group = parser.add_argument_group("blocks")
    group.add_argument(
        "--plan", action="store_true", help="only cut the image into blocks, for --part"
    )
    group.add_argument(
        "--slurm",
        metavar="OPTIONS",
        help='submit job arrays with options of sbatch, such as "partition=gpu time=02:00:00"',
    )
    group.add_argument("--parts", type=_count, metavar="N", help=f"jobs of an array, {PARTS}")
    group.add_argument(
        "--block", type=_count, metavar="PIXELS", help="edge of a block, a multiple of 512"
    )
    group.add_argument("--block-depth", type=_count, metavar="SLICES", help="slices of a block")
    group.add_argument(
        "--block-overlap",
        type=_count,
        metavar="PIXELS",
        default=Blocks.overlap,
        help="how far objects are segmented beyond a block",
    )


def asked(arguments: argparse.Namespace) -> bool:
    """Whether an image is to be segmented block by block."""
    names = ("workers", "dask", "part", "slurm", "block", "block_depth")
    chosen = arguments.plan or any(getattr(arguments, name) is not None for name in names)
    return chosen or any(map(is_remote, [*arguments.images, arguments.output]))


def segment(arguments: argparse.Namespace, batch: BatchRequest) -> int:
    """Segment an image block by block.

    Parameters
    ----------
    arguments : Namespace
        Of ``seglite segment``.
    batch : BatchRequest
        The settings of the segmentation.
    """
    source, target = _source(arguments), _target(arguments)
    ledger = Ledger(target)
    if arguments.part is not None and not ledger.created:
        raise SegliteError(
            f"{target}: the image is not cut into blocks yet. Run the same command once with "
            "--plan instead of --part."
        )
    image = read_image(source)
    for notice in image.notices:
        print(f"seglite: {notice}", file=sys.stderr)
    request = request_for(image, batch, Segmenter(), never)
    blocks = Blocks(arguments.block, arguments.block_depth, arguments.block_overlap)
    ledger = prepare(source, request, target, blocks)
    if arguments.plan:
        print(f"{ledger.where}: {ledger.job.cut.count} blocks")
        return 0
    if arguments.slurm is not None:
        script = array_script(target, ledger.steps(), arguments.parts or PARTS, arguments.slurm)
        print(submit(script, Path(f"{_name(target)}.slurm.sh")))
        return 0
    driver = _driver(arguments)
    if arguments.part is not None:
        _show(run_step(ledger, "segment", driver, arguments.part))
        return 0
    _show(run(ledger, driver))
    print(ledger.place)
    return 0


def _name(target: str) -> str:
    """Return the path of labels, or of their name in this folder if they are elsewhere."""
    return target.rstrip("/").rpartition("/")[2] if is_remote(target) else target


def _source(arguments: argparse.Namespace) -> str:
    """Return the image.

    Raises
    ------
    SegliteError
        If there are several, or options that need the whole image at once.
    """
    if len(arguments.images) != 1:
        raise SegliteError("Several processes segment one image at a time; give one.")
    if arguments.uncertainty or arguments.table is not None:
        raise SegliteError("--uncertainty and --table need the whole image, not blocks.")
    if arguments.format not in ("auto", "zarr"):
        raise SegliteError(f"Labels in blocks are OME-Zarr, not {arguments.format}.")
    source = str(arguments.images[0])
    return f"{source}#{arguments.scene}" if arguments.scene else source


def _target(arguments: argparse.Namespace) -> str:
    """Return the place of the labels: the output itself, or in it."""
    target = str(arguments.output)
    if target.rstrip("/").lower().endswith(".zarr"):
        return target
    image = str(arguments.images[0]).rstrip("/")
    name = image.rpartition("/")[2] if is_remote(image) else split_scene(image)[0].name
    return f"{target.rstrip('/')}/{stem(Path(name))}_labels.zarr"


def _driver(arguments: argparse.Namespace) -> Driver:
    """Return what does the blocks."""
    if arguments.dask is not None:
        resources = {}
        for word in (arguments.dask_resources or "").split(","):
            name, _, amount = word.partition("=")
            if word and not (name and amount.replace(".", "", 1).isdecimal()):
                raise SegliteError(f"Write --dask-resources as GPU=1, not {word!r}.")
            if word:
                resources[name] = float(amount)
        return DaskCluster(connect(arguments.dask), resources)
    if arguments.workers is not None and arguments.workers > 1:
        return LocalProcesses(arguments.workers)
    return here


def _show(steps: Iterable[BlockProgress]) -> None:
    """Print progress in place on a terminal, elsewhere nothing."""
    show = sys.stderr.isatty()
    for progress in steps:
        if show:
            print(f"\r\x1b[K{progress.text}", end="", file=sys.stderr, flush=True)
    if show:
        print("\r\x1b[K", end="", file=sys.stderr)


# ---------------------------------------------------------------------- merge
def add_to(commands: Commands) -> None:
    """Add the subcommand ``merge``."""
    text = "Merge the objects of blocks that several processes segmented, and finish the labels."
    parser = commands.add_parser("merge", help=text, description=text)
    parser.add_argument("labels", metavar="LABELS", help="path or address of the labels")
    parser.add_argument(
        "--step", choices=STEPS, help="only this step of the work; all that is left if not given"
    )
    add_drivers(parser)
    parser.set_defaults(run=merge)


def merge(arguments: argparse.Namespace) -> int:
    """Do one step of what is left, or all of it but segmenting."""
    ledger, driver = Ledger(arguments.labels), _driver(arguments)
    if arguments.step is None and arguments.part is not None:
        raise SegliteError("Say which step to do a part of, such as --step link.")
    if ledger.counts() is not None:
        print(ledger.place)
        return 0
    if arguments.step is not None:
        check_ready(ledger, arguments.step)
        if arguments.step in ledger.steps():
            _show(run_step(ledger, arguments.step, driver, arguments.part or (0, 1)))
        return 0
    # Blocks are not segmented here: a merge is what remains of a run after that.
    check_ready(ledger, (*ledger.steps(), None)[1])
    _show(run(ledger, driver))
    print(ledger.place)
    return 0
