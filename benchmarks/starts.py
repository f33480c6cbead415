"""What a start is worth: Dice after four corrected images and a minute, with it and from scratch.

    python benchmarks/starts.py DATA [--sets NAME ...] [--starts NAME ...] [--results FILE]

For each data set every general start is fine-tuned as the plugin does, its network trained from
scratch in the same way, and MONAI's BasicUNet as well. The images are spread over ``train/``, and
each is seen alone: CeLNet is given it as its own neighbours, and only slices of stacks. The score
is the mean Dice over ten images of ``test/`` (or, with ``--validate``, of ``train/`` that were not
corrected). Time is processor time divided by the number of threads, see `correction_loop`. Each
number is written to a file as soon as it is there, and a run that was interrupted goes on. With
``--onto-cards`` the mean lead over BasicUNet goes onto the cards of the shipped starts, and the
program orders them by it.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import peers
from common import kept, table
from correction_loop import SETS, Slice, chosen, network_dice, read, trained

from napari_seglite import CheckpointStore
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.checkpoints.folder import read_card, write_card
from napari_seglite.checkpoints.recommending import LEARNING_GAIN
from napari_seglite.checkpoints.store import BUILT_IN

PEER = "basic-unet"
# Test images at most: the sets differ in size.
MOST = 10


def starts(store: CheckpointStore) -> dict[str, CheckpointInfo]:
    """Return the cards of the general starts by id."""
    return {i.id: i for i in store.list() if i.id.startswith("general-")}


def suits(info: CheckpointInfo, folder: Path) -> bool:
    """Return whether a start is meant for a data set: one that reads neighbours is for stacks."""
    return info.context_slices == 1 or (folder / "train" / "image.tif").is_file()


def score(
    start: str, corrected: list[Slice], others: list[Slice], seconds: float, info: CheckpointInfo
) -> float:
    """Fine-tune a checkpoint, or a network from scratch with a card's options; return Dice."""
    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(Path(scratch) / "checkpoints")
        from_scratch = start not in (info.id, PEER)
        own = CheckpointInfo("template", start, options=info.options) if from_scratch else None
        checkpoint, *_ = trained(start, corrected, store, seconds, own)
        return network_dice(checkpoint, others, store)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--starts", nargs="+")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--validate", action="store_true", help="score on the rest of train/")
    parser.add_argument("--results", type=Path, default=Path("starts.jsonl"))
    parser.add_argument("--onto-cards", action="store_true")
    arguments = parser.parse_args()
    peers.register_all()
    cards = starts(CheckpointStore())
    cards = {k: cards[k] for k in arguments.starts or cards}
    found: dict[tuple[str, str], float] = {}
    for name in arguments.sets:
        train = read(arguments.data / name, "train")
        corrected = chosen(train, arguments.images)
        others = [s for s in train if all(s is not c for c in corrected)]
        others = others if arguments.validate else read(arguments.data / name, "test")
        for info in cards.values():
            if not suits(info, arguments.data / name):
                continue
            for method in (info.id, info.network, PEER):
                compute = partial(score, method, corrected, others[:MOST], arguments.seconds, info)
                key = {"set": name, "method": method}
                found[name, method] = kept(arguments.results, key, compute)
                print(key, f"{found[name, method]:.3f}", flush=True)
    rows: list[tuple[str, ...]] = [("set", "BasicUNet", *cards)]
    for name in arguments.sets:
        pairs = (
            f"{found[name, i.id]:.3f} ({found[name, i.network]:.3f})"
            if (name, i.id) in found
            else "-"
            for i in cards.values()
        )
        rows.append((name, f"{found[name, PEER]:.3f}", *pairs))
    print("Dice from the start, and from scratch in brackets:\n")
    table(rows)
    if arguments.onto_cards:
        for info in cards.values():
            sets = [name for name in arguments.sets if (name, info.id) in found]
            gain = np.mean([found[name, info.id] - found[name, PEER] for name in sets])
            scores = {**info.scores, LEARNING_GAIN: round(float(gain), 4)}
            path = BUILT_IN / info.id
            write_card(path, read_card(path, scores=scores)[1])


if __name__ == "__main__":
    main()
