"""MSAC-U2Net's variants beside each other on vessels: strips that attend, and foldable kernels.

    python benchmarks/msac_variants.py DATA [--steps 350] [--seeds 0] [--results FILE]

Trains each from scratch on four of five images of ``retina-vessels/train``, for the same steps, and
prints the mean Dice on the others; the test images are left for the final score. Each number is
written to a file as soon as it is there, and an interrupted comparison goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

from common import kept, table
from correction_loop import network_dice, read

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.runtime import process
from napari_seglite.training import Schedule, Validation, image_examples
from src_models.u2net_msac import VARIANTS


def dice(data: Path, variant: str, steps: int, seed: int) -> float:
    """Train a variant; return its mean Dice on the images that it did not learn."""
    train = read(data / "retina-vessels", "train")
    info = CheckpointInfo("new", "u2net-msac", in_channels=3, options={"variant": variant})
    images = [
        example
        for number, s in enumerate(train)
        if number % 5
        for example in image_examples(s.name, s.pixels, s.truth, s.axes, info)
    ]
    schedule = Schedule(steps=steps, minutes=10_000, learning_rate=1.5e-3, weight_decay=1e-2)
    never = Validation(held_out=0.06, validate_every=steps, patience=100, keep_best=False)
    request = FineTuneRequest(
        "u2net-msac",
        "new",
        schedule,
        validation=never,
        precision="bfloat16",
        device="cpu",
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as scratch, process.keep_freed_memory():
        store = CheckpointStore(Path(scratch))
        for _ in FineTuner(request, images, store, info).run():
            pass
        return network_dice("new", train[::5], store)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--results", type=Path, default=Path("msac_variants.jsonl"))
    arguments = parser.parse_args()
    shown: list[tuple[str, ...]] = [("variant", *(f"seed {s}" for s in arguments.seeds))]
    for variant in VARIANTS:
        scores = []
        for seed in arguments.seeds:
            compute = partial(dice, arguments.data, variant, arguments.steps, seed)
            key = {"variant": variant, "steps": arguments.steps, "seed": seed}
            scores.append(kept(arguments.results, key, compute))
        shown.append((variant, *(f"{score:.3f}" for score in scores)))
    table(shown)


if __name__ == "__main__":
    main()
