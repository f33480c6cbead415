"""Processes that compute each step together learn what one of them learns alone."""

import os
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch
from tifffile import imwrite

import src_models
from napari_seglite import FineTuner, FineTuneRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import DeviceError
from napari_seglite.training import Finished, StepDone, joined_team, training_run

pytest.importorskip("lightning_fabric")


@pytest.fixture
def images(turned_blobs):
    return turned_blobs(4)


@pytest.fixture
def start(store):
    """Save a start without dropout."""
    torch.manual_seed(0)
    weights = src_models.create("u2net-msac").state_dict()
    store.save(CheckpointInfo("start", "u2net-msac"), weights)
    return store


def request(name, **settings):
    defaults = {
        "steps": 4,
        "minutes": 1000,
        "batch": 4,
        "patch": 32,
        "validate_every": 4,
        "learning_rate": 2e-3,
        "device": "cpu",
        "frozen_norm": True,
        "keep_unimproved": True,
    }
    return FineTuneRequest("start", name).adjusted(**{**defaults, **settings})


def losses(tuner):
    return [event.loss for event in tuner.run() if isinstance(event, StepDone)]


def test_two_processes_learn_what_one_learns(start, images):
    alone = losses(FineTuner(request("alone"), images, start))
    with joined_team(2, "cpu") as team:
        together = losses(FineTuner(request("together"), images, start, team=team))
    assert len(set(alone)) == len(together) == 4
    # The same patches; but each share of a batch has Dice terms of its own.
    np.testing.assert_allclose(together, alone, rtol=5e-3)
    before, one, two = (flat(start, name) for name in ("start", "alone", "together"))
    assert (two - one).norm() < 0.2 * (one - before).norm()


def flat(store, name):
    return torch.cat([weight.flatten() for weight in store.load(name)[1].parameters()])


def test_a_run_goes_on_alone_when_a_process_was_lost(start, images, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY", -1)
    wanted, steps = request("lost", steps=6), []

    def killed_after_two(team):
        for event in FineTuner(wanted, images, start, team=team).run():
            if isinstance(event, StepDone):
                steps.append(event.status.step)
                for child in psutil.Process().children() if len(steps) == 2 else ():
                    child.kill()

    with joined_team(2, "cpu") as team, pytest.raises(DeviceError, match=r"process .* ended"):
        killed_after_two(team)
    assert steps == [1, 2]
    after = list(FineTuner(wanted, images, start).run())
    assert [e.status.step for e in after if isinstance(e, StepDone)] == [3, 4, 5, 6]
    assert isinstance(after[-1], Finished)
    assert after[-1].checkpoint.id == "lost"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has a GPU")
def test_more_gpus_than_there_are_is_a_sentence():
    with pytest.raises(DeviceError, match="no device 'cuda'"):
        joined_team(2, "cuda").__enter__()


@pytest.mark.slow
def test_torchrun_starts_the_processes(images, tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for k, image in enumerate(images[:2]):
        imwrite(tmp_path / "images" / f"{k}.tif", image.frame[0])
        imwrite(tmp_path / "labels" / f"{k}.tif", image.labels.astype(np.uint8))
    command = f"""fine-tune --images {tmp_path}/images --labels {tmp_path}/labels --name tuned
        --checkpoint unet-sharp --option preset=tiny --steps 2 --batch 2 --patch 32 --device cpu"""
    launched = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "napari_seglite"]
    done = subprocess.run(
        [sys.executable, *launched, *command.split()],
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["tuned"]
