"""OpenVINO beside torch on the CPU: how much faster, and how many pixels change their label.

    python benchmarks/runtimes.py [--networks NAME ...] [--size 256]
    python benchmarks/runtimes.py --fixed [--networks NAME ...] [--size 256]
    python benchmarks/runtimes.py --labels DATA [--every 1] [--side 512] [--output FOLDER]

The first prints, for one tile of every network that can be exported, the time of torch in float32
and of OpenVINO in float32 (*exact*) and bfloat16 (*fast*), which take turns in one run. The second
compares graphs for any size of a tile with graphs for one size, in processor time. The third
segments the test images of data sets with all three and prints, for both precisions of OpenVINO
beside torch, the change of the mean Dice and the share of pixels whose label changes. ``--every N``
takes every Nth image. General starts first learn four images of a set other than the nuclei, see
`correction_loop`. They and the rows stay in FOLDER, and a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import correction_loop
import numpy as np
import torch
from common import kept_rows, side_by_side, table

from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.formats import list_images, read_image, read_labels
from napari_seglite.inference.runtimes import OpenVinoRuntime, TorchRuntime
from napari_seglite.labels import overlap
from napari_seglite.runtime import exporting, graphs, memory_format, process, tuning
from src_models.folding import fold

NETWORKS = {
    "unet-sharp tiny": ("unet-sharp", 3, {"preset": "tiny"}),
    "unet-sharp": ("unet-sharp", 3, {}),
    "u2net-msac": ("u2net-msac", 3, {}),
    "u2net-msac attention": ("u2net-msac", 3, {"variant": "attention"}),
    "m2snet light": ("m2snet", 3, {"preset": "light"}),
    "m2snet": ("m2snet", 3, {}),
    "celnet": ("celnet", 1, {}),
    "s-net": ("s-net", 1, {}),
}
STARTS = (
    "general-unet-sharp",
    "general-u2net-msac",
    "general-m2snet",
    "general-celnet",
    "general-s-net",
)
SETS = {
    "nuclei": ("nuclei-unet-sharp", "nuclei-unet-sharp-tiny", "nuclei-s-net", *STARTS[1:4]),
    "em-membranes": STARTS,
    "retina-vessels": ("vessels-u2net-msac", *STARTS),
}


def times(name: str, size: int, rounds: int, clock: Callable[[], float]) -> tuple[str, ...]:
    """Return a row of the table of times for a tile of ``(size, size)`` pixels."""
    network_name, channels, options = NETWORKS[name]
    info = CheckpointInfo(
        "timed", network_name, in_channels=channels, options=options, weights_sha256="0" * 64
    )
    torch.manual_seed(0)
    network = fold(info.build().eval())
    with tempfile.TemporaryDirectory() as folder:
        cache = graphs.GraphCache(Path(folder))
        tuning.add_graph(cache, info, network)
        threads = torch.get_num_threads()
        exact = OpenVinoRuntime(network, cache.read(info), "exact", threads)
        fast = OpenVinoRuntime(network, cache.read(info), "fast", threads)
    memory_format.apply(network, memory_format.usual(info, "cpu"))
    image = torch.randn(1, channels, size, size)
    runtimes = {"torch": TorchRuntime(network), "exact": exact, "fast": fast}
    with torch.inference_mode():
        calls = {k: partial(r.forward, image) for k, r in runtimes.items()}
        seconds = side_by_side(calls, rounds, clock)
    ratios = [f"{seconds['torch'] / seconds[kind]:.1f}" for kind in ("exact", "fast")]
    return (name, *(f"{seconds[kind] * 1e3:.0f}" for kind in runtimes), *ratios)


def fixed_size(name: str, size: int, rounds: int) -> tuple[str, ...]:
    """Return a row of the table of graphs of any and of one size; processor time, bfloat16."""
    import openvino

    network_name, channels, options = NETWORKS[name]
    info = CheckpointInfo("timed", network_name, in_channels=channels, options=options)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        exporting.export(fold(info.build().eval()), info, Path(folder))
        (file,) = Path(folder).glob("*.xml")
        graph = openvino.Core().read_model(file)
        graph.reshape([1, channels, size, size])
        own = file.with_stem("fixed")
        openvino.save_model(graph, own, compress_to_fp16=False)
        threads = torch.get_num_threads()
        kinds = {"any": graphs.compiled(file, "fast", threads)}
        kinds["one"] = graphs.compiled(own, "fast", threads)
    image = np.random.default_rng(0).normal(size=(1, channels, size, size)).astype(np.float32)
    requests = {kind: each.create_infer_request() for kind, each in kinds.items()}
    seconds = side_by_side(
        {k: partial(r.infer, [image]) for k, r in requests.items()}, rounds, time.process_time
    )
    ratio = seconds["any"] / seconds["one"]
    return (name, *(f"{each * 1e3:.0f}" for each in seconds.values()), f"{ratio:.2f}")


def read(folder: Path, every: int, side: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every Nth test image of a set and its labels, cropped to a square."""
    crop = np.s_[:side, :side]
    part = folder / "test"
    if (part / "image.tif").is_file():
        stack = np.asarray(read_image(part / "image.tif").array)
        labels = read_labels(part / "labels.tif")
        for image, truth in list(zip(stack, labels, strict=True))[::every]:
            yield image[crop], truth[crop]
        return
    truths = {path.stem: path for path in list_images(part / "labels")}
    for path in list_images(part / "images")[::every]:
        image = np.asarray(read_image(path).array)
        image = image[..., :3] if image.ndim == 3 else image
        yield image[crop], read_labels(truths[path.stem])[crop]


def learnt(folder: Path, start: str, seconds: float, store: CheckpointStore) -> str:
    """Return the id of a start that learnt four images of a set; it is kept in the store."""
    name = f"{start}-{folder.name}"
    if all(info.id != name for info in store.list()):
        known = correction_loop.chosen(correction_loop.read(folder, "train"), 4)
        made, *_ = correction_loop.trained(start, known, store, seconds)
        store.rename(made, name)
    return name


def changes(
    folder: Path,
    checkpoint: str,
    precisions: list[str],
    every: int,
    side: int,
    store: CheckpointStore,
) -> list[tuple[str, ...]]:
    """Return the rows of a checkpoint in the table of labels, one per precision of OpenVINO."""
    openvino = {kind: ("openvino", kind) for kind in precisions}
    kinds = {"torch": ("torch", "exact"), **openvino}
    dice: dict[str, list[float]] = {kind: [] for kind in kinds}
    changed: dict[str, list[float]] = {kind: [] for kind in kinds}
    info, network = store.load(checkpoint)
    cache = graphs.GraphCache(store.folder.parent / graphs.FOLDER)
    if not cache.holds(info):
        tuning.add_graph(cache, info, fold(network.eval()))
    segmenters = {kind: Segmenter(store) for kind in kinds}
    for image, truth in read(folder, every, side):
        masks = {}
        for kind, (runtime, precision) in kinds.items():
            axes = "YXC" if image.ndim == 3 else "YX"
            request = SegmentRequest(
                checkpoint,
                axes,
                "cpu",
                min_size=0,
                output="semantic",
                runtime=runtime,  # type: ignore[arg-type]
                precision=precision,  # type: ignore[arg-type]
            )
            result = segmenters[kind].segment(np.ascontiguousarray(image), request)
            asked, ran = (runtime, precision), (result.request.runtime, result.request.precision)
            if ran != asked:
                raise SystemExit(f"{asked} cannot be measured here: {' '.join(result.notices)}")
            masks[kind] = np.asarray(result.labels) > 0
            dice[kind].append(overlap(masks[kind], truth > 0).dice)
            changed[kind].append(float((masks[kind] != masks["torch"]).mean()))
    return [
        (
            folder.name,
            checkpoint.removesuffix(f"-{folder.name}"),
            kind,
            str(len(dice[kind])),
            f"{np.mean(dice['torch']):.4f}",
            f"{np.mean(dice[kind]) - np.mean(dice['torch']):+.5f}",
            f"{np.mean(changed[kind]):.4%}",
            f"{np.max(changed[kind]):.3%}",
        )
        for kind in precisions
    ]


def labels(arguments: argparse.Namespace) -> None:
    """Print the table of labels; see `changes` for its rows."""
    header = (
        "images,checkpoint,precision,number,Dice of torch,change of Dice,pixels changed,at most"
    )
    rows: list[tuple[str, ...]] = [tuple(header.split(","))]
    store = CheckpointStore(arguments.output / "checkpoints")
    precisions, every, side = arguments.precisions, arguments.every, arguments.side
    for name in arguments.sets:
        folder = arguments.data / name
        for checkpoint in SETS[name]:
            if arguments.checkpoints and checkpoint not in arguments.checkpoints:
                continue
            used = checkpoint
            # The starts know nuclei.
            if checkpoint in STARTS and name != "nuclei":
                used = learnt(folder, checkpoint, arguments.seconds, store)
            compute = partial(changes, folder, used, precisions, every, side, store)
            key = [name, checkpoint, precisions, every, side]
            rows += map(tuple, kept_rows(arguments.output / "labels.jsonl", key, compute))
            table([rows[0], *rows[-len(precisions) :]])
    table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--processor", action="store_true", help="processor time of all threads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fixed", action="store_true", help="graphs for one size of a tile")
    parser.add_argument("--labels", type=Path, dest="data", help="folder of the data sets")
    parser.add_argument("--checkpoints", nargs="+", help="of those of a set; all if not given")
    parser.add_argument("--precisions", nargs="+", default=["exact", "fast"])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--side", type=int, default=512, help="most pixels per side of an image")
    parser.add_argument("--seconds", type=float, default=60, help="for which a start learns")
    parser.add_argument("--output", type=Path, default=Path("runtimes"), metavar="FOLDER")
    arguments = parser.parse_args()
    if not graphs.installed():
        raise SystemExit("OpenVINO is not installed: pip install 'napari-seglite[fast]'")
    tuning.PAYS_AFTER = math.inf  # nothing else may run beside
    with process.keep_freed_memory():
        if arguments.data is not None:
            labels(arguments)
            return
        rows: list[tuple[str, ...]] = [("network", "any size, ms", "one size, ms", "times")]
        if arguments.fixed:
            rows += [fixed_size(n, arguments.size, arguments.rounds) for n in arguments.networks]
            table(rows)
            return
        rows = [("network", "torch, ms", "exact, ms", "fast, ms", "exact, times", "fast, times")]
        clock = time.process_time if arguments.processor else time.perf_counter
        table(
            rows + [times(n, arguments.size, arguments.rounds, clock) for n in arguments.networks]
        )


if __name__ == "__main__":
    main()
