"""Zip files of others: what is refused, that nothing stays of it, and what an export tells."""

import getpass
import io
import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_seglite.checkpoints import CheckpointStore
from napari_seglite.errors import CheckpointError

MEMBERS = ("card.json", "weights.safetensors", "replay.npz")


@pytest.fixture
def other(tmp_path):
    """Return an empty store."""
    return CheckpointStore(tmp_path / "other", tmp_path / "nothing")


@pytest.fixture
def files(store, make):
    """Return the files of a good checkpoint, by name."""
    make("good")
    return {
        name: (store.folder / "good" / name).read_bytes()
        for name in ("card.json", "weights.safetensors")
    }


@pytest.fixture
def zipped(tmp_path):
    """Return a function that writes members to a zip file."""

    def write(*members, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path

    return write


def changed(files, **fields):
    """Return the members with a changed card."""
    card = {**json.loads(files["card.json"]), **fields}
    return {**files, "card.json": json.dumps(card)}.items()


def refused(other, path, message):
    """Check that a file is refused by name with a reason, and that nothing of it stays."""
    with pytest.raises(CheckpointError, match=message) as told:
        other.add(path)
    assert str(path) in str(told.value)
    assert ".writing-" not in str(told.value)
    assert not other.folder.exists() or not list(other.folder.iterdir())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "../../evil"}, "cannot name a checkpoint"),
        ({"network": "os.system"}, "not installed"),
        ({"options": {"zzz": 1}}, "no such option"),
        ({"classes": 2.0}, "classes: "),
        ({"scores": [1]}, "scores: "),
        ({"weights_sha256": "0"}, "damaged or was replaced"),
        ({"in_channels": 3}, "do not fit"),
    ],
)
def test_odd_cards_are_refused(other, files, zipped, fields, message):
    refused(other, zipped(*changed(files, **fields)), message)


def test_names_that_not_every_platform_knows_are_refused(other, files, zipped):
    with pytest.raises(CheckpointError, match="Windows keeps the name CON"):
        other.add(zipped(*changed(files, id="CON")))
    assert not other.folder.exists()


def test_missing_and_repeated_members(other, files, zipped, tmp_path):
    card, weights = files.items()
    refused(other, zipped(weights), "holds no card.json")
    refused(other, zipped(card), "holds no weights.safetensors")
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(card, weights, card)
    refused(other, path, "card.json 2 times")
    refused(other, zipped(card, weights, ("replay.npz", b"PK\x03\x04garbage")), "not a zip file")
    refused(other, zipped(card, weights, compression=zipfile.ZIP_LZMA), "unknown way")
    for path in (tmp_path, tmp_path / "missing.zip"):
        refused(other, path, "there is no such file")


def test_members_elsewhere_are_left_out(other, files, zipped, tmp_path):
    other.add(zipped(*files.items(), ("../../evil.txt", "x"), ("sub/card.json", "{")))
    assert sorted(p.name for p in other.path("good").iterdir()) == sorted(files)
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_in_a_zip_file_are_not_followed(other, files, zipped):
    link = zipfile.ZipInfo("replay.npz")
    link.external_attr = 0o120777 << 16
    refused(other, zipped(*files.items(), (link, "/etc/passwd")), "not a zip file")


def test_encrypted_members_are_refused(other, files, zipped):
    path = zipped(*files.items())
    blob = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        blob[blob.find(signature) + flags] |= 1
    path.write_bytes(bytes(blob))
    refused(other, path, "encrypted")


def test_any_damage_to_a_zip_file_is_told(other, files, zipped):
    path = zipped(*files.items())
    blob = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = len(blob) - 300
    places = [*rng.integers(0, len(blob), 40), *rng.integers(ends, len(blob), 60), *range(60)]
    spoilt = [blob[: int(n)] for n in rng.integers(0, len(blob), 20)]
    for where in places:
        flipped = bytearray(blob)
        flipped[where] ^= int(rng.integers(1, 255))
        spoilt.append(bytes(flipped))
    told = 0
    for content in spoilt:
        path.write_bytes(content)
        try:
            other.add(path)
            shutil.rmtree(other.folder)  # a flipped date, say
        except CheckpointError:
            told += 1
            assert not other.folder.exists()
    assert told > len(spoilt) / 2


def claim(path, member, size):
    """Change the size that a zip file claims for a member."""
    blob = bytearray(path.read_bytes())
    at = blob.rfind(b"PK\x01\x02", 0, blob.rfind(member.encode()))
    blob[at + 24 : at + 28] = size.to_bytes(4, "little")
    path.write_bytes(bytes(blob))


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("member", MEMBERS)
def test_bombs_are_not_unpacked(other, files, tmp_path, member, honest):
    """A member that is larger than it can be is refused, whatever size the file claims."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            if name != member:
                archive.writestr(name, content)
        with archive.open(member, "w") as stream:
            for _ in range(250):
                stream.write(bytes(1_000_000))
    if not honest:
        claim(path, member, 9_000_000)
    tracemalloc.start()
    refused(other, path, "more than|CRC|damaged|not a zip|is not")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


# ------------------------------------------------------------------ privacy
def test_an_export_holds_no_paths_and_no_login_name(store, make, other, tmp_path):
    home = str(Path.home())
    make(
        "mine",
        "/data/of/ada/first",
        description="Fine-tuned from first.",
        note=f"from {home}/some folder/a.tif and C:\\Users\\ada\\b.tif, see https://x.org/y",
        settings={
            "checkpoint": f"{home}/start/first",
            "frames": ["/home/ada lovelace/cells.tif, slice 2", "D:\\ada\\x.tif", "mouse 3/left"],
            "held_out": [
                "\\\\server\\ada\\y.tif",
                "~ada/z.tif",
                "../ada/u.tif",
                "file:///ada/v.tif",
            ],
            "seed": 3,
            "nested": {"list": [{"/home/ada/k": "/home/ada/w"}]},
        },
    )
    path = store.export("mine", tmp_path / "mine.zip")
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {"card.json", "weights.safetensors"}
        text = archive.read("card.json").decode()
    card = json.loads(text)
    assert "ada" not in text
    assert home not in text
    assert len(getpass.getuser()) < 4 or getpass.getuser() not in text.replace("root", "")
    assert card["parent"] == "first"
    assert card["note"].startswith("from ")
    assert card["note"].endswith("b.tif, see https://x.org/y")
    assert card["settings"] == {
        "checkpoint": "first",
        "frames": ["cells.tif, slice 2", "x.tif", "mouse 3/left"],
        "held_out": ["y.tif", "z.tif", "u.tif", "v.tif"],
        "seed": 3,
        "nested": {"list": [{"k": "w"}]},
    }
    assert card["description"] == "Fine-tuned from first."
    other.add(path)
    other.load("mine")
    assert store.info("mine").settings["checkpoint"] == f"{home}/start/first"  # here it stays


def test_only_the_files_of_a_checkpoint_are_exported(store, make, tmp_path):
    make("mine")
    (store.folder / "mine" / "private.txt").write_text("x")
    with zipfile.ZipFile(store.export("mine", tmp_path / "x.zip")) as archive:
        assert set(archive.namelist()) == {"card.json", "weights.safetensors"}
    (store.folder / "mine" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="weights of checkpoint mine are missing"):
        store.export("mine", tmp_path / "x.zip")
    with pytest.raises(CheckpointError, match="cannot be written"):
        store.export("nuclei-s-net", tmp_path)


def test_a_replay_buffer_travels_and_is_checked(store, make, other, tmp_path, tiny_weights):
    from napari_seglite.checkpoints import replay
    from napari_seglite.images import TrainingImage

    image = TrainingImage("a", np.ones((1, 8, 9), np.float32), np.ones((8, 9), np.uint8))
    info = make("mine")
    store.save(info, tiny_weights, overwrite=True, replay=replay.pack([image]))
    path = store.export("mine", tmp_path / "x.zip")
    other.add(path)
    (kept,) = replay.read(other.path("mine"))
    assert kept.frame.shape == (1, 8, 9)
    other.delete("mine")
    spoilt = io.BytesIO()
    np.savez(spoilt, frame0=np.ones(3, np.float16), labels0=np.ones((8, 9), np.uint16))
    (store.folder / "mine" / "replay.npz").write_bytes(spoilt.getvalue())
    refused(other, store.export("mine", path), "frame 0 has the shape")
