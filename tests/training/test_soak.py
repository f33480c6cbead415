"""Jobs that are cancelled, stopped or fail at random moments leave nothing behind."""

import gc
import os
import random
import threading

import numpy as np
import psutil
import pytest
import torch

import src_models
from napari_seglite import FineTuner, FineTuneRequest, Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import Cancelled
from napari_seglite.images import Normalisation, TrainingImage, chunked

JOBS = 20
ENDS = ("finish", "stop", "cancel", "fail", "drop")


class InjectedError(Exception):
    """The failure of a job that was meant to fail."""


@pytest.fixture
def start(store):
    """Save the lightest network there is."""
    torch.manual_seed(0)
    weights = src_models.create("unet-sharp", preset="tiny").state_dict()
    return store.save(CheckpointInfo("start", "unet-sharp", options={"preset": "tiny"}), weights)


@pytest.fixture
def images(blobs):
    image, mask = blobs
    normal = Normalisation()
    frame = normal.apply(image, normal.limits(image))[None, :64, :64]
    return [TrainingImage(f"blobs {k}", frame, mask[:64, :64] * 1) for k in range(4)]


def resources():
    """Return the numbers of threads, open files and live tensors."""
    gc.collect()
    process = psutil.Process()
    tensors = sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())
    opened = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return threading.active_count(), opened, tensors


def ended(run, end, after):
    """Take events from a run until it is time to end it in some way."""
    for number, _ in enumerate(run, 1):
        if number >= after and end == "drop":
            run.close()
        elif number >= after and end == "fail":
            raise InjectedError


@pytest.mark.slow
def test_nothing_piles_up(store, start, images, tmp_path, monkeypatch):
    monkeypatch.setattr(chunked, "IN_MEMORY", 1000)  # results lie in temporary folders
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    segmenter, chance = Segmenter(store), random.Random(0)
    stack = np.stack([images[0].frame[0]] * 3)

    def segment(end, after):
        asked = []

        def stop():
            asked.append(1)
            return end in ("stop", "cancel") and len(asked) > 20 * after

        request = SegmentRequest("start", "ZYX", "cpu", tile=64, overlap=16, output="instances")
        ended(segmenter.run(stack, request, stop), end, after)

    def train(end, after):
        asked = []

        def now():
            asked.append(1)
            return len(asked) > 40 * after

        folds = chance.choice((1, 2))
        request = FineTuneRequest("start", "soaked", device="cpu").adjusted(
            steps=6, batch=1, patch=32, validate_every=2, folds=folds, keep_unimproved=True
        )
        ways = {"stop": {"stop": now}, "cancel": {"abort": now}}
        ended(FineTuner(request, images, store).run(**ways.get(end, {})), end, after)
        if (store.folder / "soaked").exists():
            store.delete("soaked")

    def job(number):
        try:
            work, end = (segment, train)[number % 2], ENDS[number // 2 % len(ENDS)]
            work(end, chance.randrange(1, 12))
        except (Cancelled, InjectedError):
            pass

    for number in range(2 * len(ENDS)):  # every kind once, since first runs keep caches
        job(number)
    before = resources()
    for number in range(JOBS):
        job(number)
    threads, opened, tensors = resources()
    assert threads <= before[0]
    assert opened <= before[1]
    assert tensors <= before[2] + 20
    assert not list(tmp_path.glob(f"seglite-{os.getpid()}-*"))
    assert not list(store.folder.glob(".writing-*"))
