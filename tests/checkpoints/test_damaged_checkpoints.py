"""Checkpoints that are not as SegLite writes them: each is refused with a reason, alone."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
from safetensors.torch import save

import src_models
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.cli import main
from napari_seglite.errors import CheckpointError, SegliteError

CARDS = {
    "id of another": {"id": "other"},
    "id traversal": {"id": "../../x"},
    "id number": {"id": 5},
    "id newline": {"id": "bad\n"},
    "network list": {"network": ["s-net"]},
    "network unknown": {"network": "os.system"},
    "channels text": {"in_channels": "1"},
    "channels fraction": {"in_channels": 1.5},
    "channels huge": {"in_channels": 10**9},
    "channels none": {"in_channels": 0},
    "classes huge": {"classes": 10**9, "class_names": ["a"]},
    "classes many": {"classes": 50_000, "class_names": ["a"] * 50_000},
    "class names text": {"class_names": "ab"},
    "class names numbers": {"class_names": [1, 2]},
    "class names few": {"class_names": ["a"]},
    "normalisation null": {"normalisation": None},
    "normalisation order": {"normalisation": {"low": 99, "high": 1}},
    "normalisation clip": {"normalisation": {"clip_low": 3, "clip_high": -1}},
    "normalisation NaN": {"normalisation": {"clip_low": float("nan")}},
    "normalisation without std": {"normalisation": {"mean": [0.5]}},
    "normalisation std 0": {"normalisation": {"mean": [0.5], "std": [0]}},
    "normalisation mean NaN": {"normalisation": {"mean": [float("nan")], "std": [1]}},
    "normalisation channels": {"normalisation": {"mean": [0.5, 0.5], "std": [1, 1]}},
    "options list": {"options": [1]},
    "options unknown": {"options": {"preset": "tiny", "zzz": 1}},
    "options preset": {"options": {"preset": "x"}},
    "options preset list": {"options": {"preset": [1]}},
    "options dims": {"options": {"preset": "tiny", "dims": "3"}},
    "options spacing": {"options": {"preset": "tiny", "spacing": [1, -1, 1]}},
    "scores null": {"scores": None},
    "scores text": {"scores": {"test_dice": "abc"}},
    "scores nothing": {"scores": {"test_dice": None}},
    "description number": {"description": 4},
    "parent number": {"parent": 4},
    "parent itself": {"parent": "bad"},
    "curves list": {"curves": [1]},
    "curves text": {"curves": {"loss": "abc"}},
    "curves triples": {"curves": {"loss": [[1, 2, 3]]}},
    "created number": {"created": 5},
    "note list": {"note": [1]},
    "settings list": {"settings": [1]},
    "versions list": {"versions": [1]},
    "spacing text": {"spacing": "ab"},
    "spacing infinite": {"spacing": [float("inf"), 1]},
    "spacing negative": {"spacing": [-1, 1]},
    "format text": {"format": "x"},
    "format 99": {"format": 99},
    "hash number": {"weights_sha256": 4},
    "no id": {"without": ["id"]},
    "no format": {"without": ["format"]},
    "deep": {"raw": "[" * 100_000},
    "deep inside": {"raw": '{"format": 1, "settings": ' + "[" * 100_000},
    "long id": {"raw": '{"format": 1, "id": "' + "x" * 9_000_000 + '"}'},
    "large": {"raw": '{"format": 1, "id": "' + "x" * 11_000_000 + '"}'},
    "digits": {"raw": '{"format": 1, "id": "bad", "settings": {"seed": 1' + "0" * 6000 + "}}"},
    "empty": {"raw": ""},
}


@pytest.mark.parametrize("changes", CARDS.values(), ids=CARDS)
def test_an_odd_card_is_told_and_hides_no_other(store, put, changes, capsys):
    folder = put(**changes)
    found = store.scan()
    own = [info.id for info in found.infos if not (store.built_in / info.id).exists()]
    assert own == ["good"]
    assert len(found.infos) == 1 + sum(path.is_dir() for path in store.built_in.iterdir())
    assert list(found.damaged) == ["bad"]
    assert len(found.damaged["bad"]) < 1000
    if "itself" not in found.damaged["bad"]:  # whose weights can be used nevertheless
        assert str(folder) in found.damaged["bad"]
        with pytest.raises(CheckpointError):
            store.load("bad")
    assert main(["checkpoints"]) == 0
    listed = capsys.readouterr()
    assert "good" in listed.out
    assert "bad cannot be used: " in listed.err
    assert main(["checkpoints", "--json"]) == 0
    assert [c["id"] for c in json.loads(capsys.readouterr().out)][-1] == "good"


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": {"validation_dice_before": float("nan"), "validation_dice": float("nan")}},
        {"description": "\x1b]0;owned\x07\x1b[2J hi\u202e", "class_names": ["a\x1b", "b\n"]},
        {"settings": {"frames": 3, "seconds": "x", "seed": [1]}, "parent": "../../etc"},
        {"a_field_of_later": 1, "spacing": None},
        {"without": ["scores", "curves", "settings", "versions", "options"], "network": "s-net"},
    ],
)
def test_unusual_but_valid_cards_are_listed(store, put, changes, capsys):
    put(**changes)
    assert store.damaged() == {}
    assert main(["checkpoints"]) == 0
    told = capsys.readouterr()
    assert "\nbad" in told.out
    assert not {"\x1b", "\x07", "\u202e"} & set(told.out + told.err)
    assert main(["checkpoints", "--json"]) == 0
    out = capsys.readouterr().out

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    (listed,) = [c for c in json.loads(out, parse_constant=refuse) if c["id"] == "bad"]
    if "validation_dice" in listed["scores"]:
        assert listed["scores"]["validation_dice"] is None


def test_a_reason_is_printable(store, put):
    put(scores={"\x1b[2J": "x"})
    with pytest.raises(CheckpointError) as told:
        store.info("bad")
    assert "\x1b" not in str(told.value)


def test_a_note_keeps_the_fields_of_later_versions(store, put):
    folder = put(a_field_of_later=[1])
    store.annotate("bad", "x")
    card = json.loads((folder / "card.json").read_text())
    assert (card["a_field_of_later"], card["note"]) == ([1], "x")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_files_that_are_no_files(store, put, tmp_path):
    """Pipes do not block, and links out of the store are not followed."""
    (store.folder / "pipe").mkdir()
    os.mkfifo(store.folder / "pipe" / "card.json")
    pipes = put("pipes")
    (pipes / "weights.safetensors").unlink()
    os.mkfifo(pipes / "weights.safetensors")
    (store.folder / "etc").symlink_to("/etc")
    (store.folder / "nowhere").symlink_to(tmp_path / "nothing")
    (store.folder / ".hidden").mkdir()
    (store.folder / "file").write_text("x")
    outside = tmp_path / "linked"
    shutil.move(put("linked"), outside)
    (store.folder / "linked").symlink_to(outside)
    assert set(store.damaged()) == {"pipe", "etc"}
    with pytest.raises(CheckpointError, match="is missing"):
        store.load("pipes")
    store.load("linked")
    for act in (lambda: store.rename("linked", "new"), lambda: store.annotate("linked", "x")):
        with pytest.raises(CheckpointError, match="is a link"):
            act()
    before = (outside / "card.json").read_bytes()
    for name in ("linked", "etc", "nowhere", "pipe"):
        store.delete(name)
    assert (outside / "card.json").read_bytes() == before
    assert sorted(p.name for p in store.folder.iterdir()) == [".hidden", "file", "good", "pipes"]


@pytest.mark.parametrize("name", ["", ".", "..", "../outside", ".hidden", "a\0b", "a" * 300])
def test_nothing_else_is_deleted(store, put, tmp_path, name):
    outside = put("outside")
    shutil.move(outside, store.folder.parent / "outside")
    (store.folder / ".hidden").mkdir()
    for act in (store.delete, store.info, lambda name: store.rename(name, "new")):
        with pytest.raises(CheckpointError):
            act(name)
    assert (store.folder / "good" / "card.json").is_file()
    assert (store.folder / ".hidden").is_dir()
    assert (store.folder.parent / "outside" / "card.json").is_file()
    assert not store.is_built_in(name)


def test_damaged_checkpoints_can_be_deleted(store, put):
    put(raw="x")
    put("no id", without=["id"])
    (store.folder / "empty").mkdir()
    for name in ("bad", "no id", "empty"):
        assert name in store.damaged()
        store.delete(name)
    assert [p.name for p in store.folder.iterdir()] == ["good"]


# ------------------------------------------------------------------ weights
def test_any_damage_to_weights_is_told(store, put):
    """Cut or flipped, with the hash of the card made to fit or not."""
    blob = (store.folder / "good" / "weights.safetensors").read_bytes()
    rng = np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", blob[:8])[0]
    spoilt = [blob[: int(n)] for n in (0, 1, 8, 100, *rng.integers(0, len(blob), 10))]
    for where in rng.integers(0, header, 30):
        flipped = bytearray(blob)
        flipped[where] ^= int(rng.integers(1, 255))
        spoilt.append(bytes(flipped))
    spoilt += [struct.pack("<Q", n) + blob[8:] for n in (2**63, 2**64 - 1, 10**9, len(blob))]
    refused = 0
    for weights in spoilt:
        put(weights=weights)
        try:
            store.load("bad")
        except SegliteError:
            refused += 1
    assert refused >= len(spoilt) - 5  # a flip may change a number of the metadata alone


def test_weights_larger_than_the_network_are_not_read(store, put, monkeypatch):
    folder = put()
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(8_000_000_000)  # takes no space on the disk
    with pytest.raises(CheckpointError, match="do not fit"):
        store.load("bad")


class Wide:
    """A network of another package whose options ask for terabytes."""

    def __new__(cls, in_channels, classes, width=1):
        from torch import nn

        if width < 0:
            raise LookupError("no such width")
        return nn.Conv2d(in_channels, width, 1)


@pytest.fixture
def wide():
    card = src_models.NetworkCard(
        "wide", "Wide", "", "", "", 1, (1, 1), 0.0, 1, "", f"{__name__}:Wide"
    )
    src_models.register(card)
    yield
    src_models._cards().pop("wide")


@pytest.mark.parametrize(
    ("width", "message"), [(10**12, "do not fit"), (-1, "cannot be built"), ("x", "cannot be")]
)
def test_no_network_is_built_that_the_weights_do_not_fill(store, put, wide, width, message):
    good = CheckpointInfo("fits", "wide", options={"width": 3})
    weights = good.build().state_dict()
    store.save(good, weights)
    store.load("fits")
    put(weights=save(weights), network="wide", options={"width": width})
    with pytest.raises(CheckpointError, match=message):
        store.load("bad")


# ------------------------------------------------------------------ repair
def test_repair_keeps_everything_and_leaves_nothing_damaged(store, put, make):
    make("one")
    make("two", "one")
    put("one", parent="two")
    put("self", parent="self")
    put("copy of good", id="good")
    put("moved", id="before")
    make("child", "before")
    put("broken", raw="{")
    put("later", format=99)
    (store.folder / "empty").mkdir()
    (store.folder.parent / "damaged" / "broken").mkdir(parents=True)
    scratch = store.folder / ".writing-999999999-abc"
    scratch.mkdir()
    shutil.move(put("half"), store.folder / ".replaced-half")
    assert "half" not in store.damaged()
    done = store.repair()
    assert len(done) == 7
    assert set(store.damaged()) == {"later"}  # not damaged, but not usable yet
    parents = {i.id: i.parent for i in store.list() if not store.is_built_in(i.id)}
    assert parents == {
        "child": "moved",
        "copy-of-good": None,
        "good": None,
        "half": None,
        "moved": None,
        "one": None,
        "self": None,
        "two": None,
    }
    aside = store.folder.parent / "damaged"
    assert (aside / "broken-2" / "card.json").read_text() == "{"
    assert sorted(p.name for p in aside.iterdir()) == ["broken", "broken-2", "empty"]
    assert not scratch.exists()
    for name in parents:
        store.load(name)
    assert store.repair() == []


def test_a_checkpoint_with_the_name_of_a_shipped_one_gets_another(store, put):
    put("nuclei-s-net")
    assert "comes with SegLite" in store.damaged()["nuclei-s-net"]
    assert store.info("nuclei-s-net").network == "s-net"
    store.repair()
    assert store.damaged() == {}
    assert store.info("nuclei-s-net-2").network == "unet-sharp"


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that fails to read")
def test_repair_leaves_what_the_disk_does_not_give(store, put):
    """An error of the disk or the network may pass, and says nothing about the card."""
    card = put() / "card.json"
    card.unlink()
    card.symlink_to("/proc/self/mem")
    assert "Input/output error" in store.damaged()["bad"]
    assert store.repair() == []
    assert card.is_symlink()
