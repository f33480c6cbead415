import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore
from napari_seglite.errors import CheckpointError
from napari_seglite.images import Normalisation


def test_what_is_saved_is_loaded(store, untrained):
    info, network = store.load("untrained")
    assert info == untrained
    torch.manual_seed(0)
    import src_models

    for a, b in zip(
        network.state_dict().values(), src_models.create("s-net").state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    assert [i.id for i in store.list() if not store.is_built_in(i.id)] == ["untrained"]
    assert store.load(str(store.path("untrained")))[0] == info  # by folder, too


def test_the_whole_card_survives(store):
    import src_models

    info = CheckpointInfo(
        "rich",
        "s-net",
        2,
        3,
        ("background", "a", "b"),
        Normalisation(2, 98),
        "Text",
        "parent",
        "digest",
        {"seed": 1},
        {"torch": "2"},
        {"dice": 0.5},
    )
    saved = store.save(info, src_models.create("s-net", 2, 3).state_dict(), bits=16)
    assert store.info("rich") == saved == replace(info, weights_sha256=saved.weights_sha256)
    assert all(p.dtype == torch.float32 for p in store.load("rich")[1].parameters())


def test_eight_bits_a_weight_keep_each_channel_to_a_255th(store):
    import src_models

    info = CheckpointInfo("small", "s-net")
    weights = src_models.create("s-net").state_dict()
    file = store.path(store.save(info, weights, bits=8).id) / "weights.safetensors"
    assert file.stat().st_size < 0.35 * 4 * sum(w.numel() for w in weights.values())
    for name, read in store.load("small")[1].state_dict().items():
        own = weights[name]
        if own.ndim > 1 and own.is_floating_point():
            largest = own.abs().amax(tuple(range(1, own.ndim)), keepdim=True)
            assert ((read - own).abs() <= largest / 254 * 1.01 + 1e-9).all(), name
        else:
            torch.testing.assert_close(read, own, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bits", [16, 8])
def test_what_half_precision_cannot_hold_is_kept(store, bits):
    import src_models

    weights = src_models.create("m2snet", preset="light").state_dict()
    weights["filters.1.norm.running_var"].fill_(288_303.0)
    store.save(CheckpointInfo("wide", "m2snet", options={"preset": "light"}), weights, bits=bits)
    read = store.load("wide")[1].state_dict()
    assert (read["filters.1.norm.running_var"] == 288_303.0).all()


def test_names_are_not_taken_twice(store, untrained):
    with pytest.raises(CheckpointError, match="already"):
        store.save(untrained, {})
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        CheckpointInfo("../escape", "s-net")
    assert store.free_name("untrained") == "untrained-tuned-1"
    assert store.free_name("untrained-tuned-4") == "untrained-tuned-1"


def test_overwriting_replaces_the_whole_folder(store, untrained):
    weights = store.load("untrained")[1].state_dict()
    store.save(replace(untrained, description="new"), weights, overwrite=True)
    assert store.info("untrained").description == "new"
    assert sorted(p.name for p in store.folder.iterdir()) == ["untrained"]


def test_a_failed_write_leaves_nothing(store, untrained):
    class Odd:
        def detach(self):
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        store.save(replace(untrained, id="second"), {"w": Odd()})
    assert sorted(p.name for p in store.folder.iterdir()) == ["untrained"]


def damage_weights(folder):
    path = folder / "weights.safetensors"
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 255
    path.write_bytes(bytes(blob))


def cut_weights(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def foreign_weights(folder):
    """Well-formed weights of another network, with their true hash."""
    import hashlib

    from safetensors.numpy import save

    blob = save({"w": np.zeros(3, np.float32)})
    (folder / "weights.safetensors").write_bytes(blob)
    card = json.loads((folder / "card.json").read_text())
    card["weights_sha256"] = hashlib.sha256(blob).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_weights, "damaged or was replaced"),
        (cut_weights, "damaged or was replaced"),
        (foreign_weights, "do not fit the network s-net"),
        (lambda f: (f / "weights.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "card.json").write_text("{not json"), "cannot be read"),
        (lambda f: (f / "card.json").write_text("[1]"), "cannot be read"),
        (lambda f: (f / "card.json").write_text('{"format": 1}'), "cannot be read"),
        (lambda f: (f / "card.json").write_text('{"format": 99, "id": "x"}'), "newer version"),
    ],
)
def test_damage_is_named(store, untrained, damage, message):
    damage(store.folder / "untrained")
    with pytest.raises(CheckpointError, match=message):
        store.load("untrained")
    store.list()  # a damaged card does not hide the others


def test_missing_checkpoints_list_those_there_are(store, untrained):
    with pytest.raises(CheckpointError, match=r"No checkpoint 'x'. There are: .*untrained"):
        store.load("x")


def test_only_own_checkpoints_are_deleted(store, untrained):
    store.delete("untrained")
    with pytest.raises(CheckpointError):
        store.info("untrained")
    with pytest.raises(CheckpointError, match="cannot be changed"):
        store.delete("nuclei-s-net")


def test_shipped_checkpoint_is_small_and_loads():
    store = CheckpointStore()
    weights = store.path("nuclei-s-net") / "weights.safetensors"
    assert weights.stat().st_size < 4_000_000
    info, _ = store.load("nuclei-s-net")
    assert (info.in_channels, info.classes) == (1, 1)
    assert info.data_digest
    assert [phase["seed"] for phase in info.settings["phases"]] == [45, 46, 47, 48]
    assert "test_dice" in info.scores


def test_names_notes_and_children(store, untrained):
    weights = store.load("untrained")[1].state_dict()
    store.save(CheckpointInfo("child", "s-net", parent="untrained"), weights)
    assert store.annotate("untrained", "for the blurred ones").note == "for the blurred ones"
    store.rename("untrained", "mother")
    assert store.info("child").parent == "mother"
    assert store.info("mother").note == "for the blurred ones"
    assert store.load("mother")[0].weights_sha256 == untrained.weights_sha256
    with pytest.raises(CheckpointError, match="already"):
        store.rename("child", "mother")
    with pytest.raises(CheckpointError, match="cannot name"):
        store.rename("child", "a b")
    for act in (store.delete, lambda name: store.annotate(name, "x")):
        with pytest.raises(CheckpointError, match="is not your own"):
            act("nuclei-s-net")
    assert [i.id for i in store.list() if not store.is_built_in(i.id)] == ["child", "mother"]


def test_a_checkpoint_travels_in_a_file(store, untrained, tmp_path):
    from napari_seglite import CheckpointStore

    path = store.export("nuclei-s-net", tmp_path / "out" / "nuclei.zip")
    other = CheckpointStore(tmp_path / "elsewhere", tmp_path / "nothing")
    assert other.add(path) == store.info("nuclei-s-net")
    assert {p.name for p in other.path("nuclei-s-net").iterdir()} == {
        "card.json",
        "weights.safetensors",
        "replay.npz",
    }
    other.load("nuclei-s-net")
    with pytest.raises(CheckpointError, match="already"):
        other.add(path)
    blob = path.read_bytes()
    path.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(CheckpointError, match="does not contain a checkpoint"):
        store.add(path)
    with pytest.raises(CheckpointError, match="does not contain a checkpoint"):
        store.add(tmp_path / "missing.zip")
