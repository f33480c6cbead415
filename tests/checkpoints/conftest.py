"""A small checkpoint, and ways to spoil it."""

import copy
import hashlib
import json
import shutil

import pytest
import torch

from napari_seglite.checkpoints import CheckpointInfo


@pytest.fixture(scope="session")
def tiny_weights():
    """Return the state dict of a tiny network."""
    torch.manual_seed(0)
    return CheckpointInfo("tiny", "unet-sharp", options={"preset": "tiny"}).build().state_dict()


@pytest.fixture
def make(store, tiny_weights):
    """Return a function that saves a tiny checkpoint with a name and a parent."""

    def save(name, parent=None, **fields):
        options = {"preset": "tiny"}
        info = CheckpointInfo(name, "unet-sharp", parent=parent, options=options, **fields)
        return store.save(info, tiny_weights)

    return save


@pytest.fixture
def put(store, make):
    """Return a function that writes a checkpoint with a changed card past the store."""
    make("good")

    def write(name="bad", raw=None, without=(), weights=None, **changes):
        folder = store.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(store.folder / "good", folder)
        if weights is not None:
            (folder / "weights.safetensors").write_bytes(weights)
            changes["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        card = {**copy.deepcopy(read(folder)), "id": name, **changes}
        for field in without:
            del card[field]
        text = json.dumps(card) if raw is None else raw
        (folder / "card.json").write_text(text)
        return folder

    return write


def read(folder):
    """Return the card in a folder as it is."""
    return json.loads((folder / "card.json").read_text())
