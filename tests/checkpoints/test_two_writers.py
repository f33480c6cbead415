"""Two programs that give the same name at once: one of them does, the other is told."""

import hashlib
import threading
from collections import Counter

import pytest

from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.errors import CheckpointError


def at_once(*acts):
    """Run functions at the same moment; returns the result or the error of each."""
    barrier, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(number, act):
        barrier.wait()
        try:
            results[number] = act()
        except CheckpointError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def check(store, results, name):
    """Check that exactly one won, and that its checkpoint is there whole."""
    won = [result for result in results if isinstance(result, CheckpointInfo)]
    (lost,) = [result for result in results if result not in won]
    assert "There is a checkpoint race already" in str(lost)
    (info,) = won
    assert store.info(name) == info
    folder = store.folder / name
    blob = (folder / "weights.safetensors").read_bytes()
    assert hashlib.sha256(blob).hexdigest() == info.weights_sha256
    return info.note


def test_saving(store, tiny_weights):
    def saver(note):
        info = CheckpointInfo("race", "unet-sharp", note=note, options={"preset": "tiny"})
        weights = {k: v + (note == "b") for k, v in tiny_weights.items()}
        return lambda: CheckpointStore().save(info, weights)

    winners = Counter()
    for _ in range(40):
        winners[check(store, at_once(saver("a"), saver("b")), "race")] += 1
        store.delete("race")
    assert winners.total() == 40
    assert not list(store.folder.iterdir())


def test_renaming(store, make):
    for _ in range(15):
        make("a", note="a")
        make("b", note="b")
        acts = [lambda name=name: CheckpointStore().rename(name, "race") for name in ("a", "b")]
        winner = check(store, at_once(*acts), "race")
        loser = "b" if winner == "a" else "a"
        assert store.load(loser)[0].note == loser
        for name in ("race", loser):
            store.delete(name)
        assert not list(store.folder.iterdir())


def test_importing(store, make, tmp_path):
    paths = []
    for note in ("a", "b"):
        make("race", note=note)
        paths.append(store.export("race", tmp_path / f"{note}.zip"))
        store.delete("race")
    for _ in range(15):
        check(store, at_once(*(lambda p=p: CheckpointStore().add(p) for p in paths)), "race")
        store.delete("race")
    with pytest.raises(CheckpointError, match="No checkpoint"):
        store.info("race")
