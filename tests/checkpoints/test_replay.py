"""Replay buffers: what is stored comes back, and damage is told instead of learnt from."""

import io
import zipfile

import numpy as np
import pytest

from napari_seglite.checkpoints import replay
from napari_seglite.errors import CheckpointError
from napari_seglite.images import TrainingImage

FRAME, LABELS = np.ones((2, 8, 9), np.float16), np.ones((8, 9), np.uint16)


def write(folder, **arrays):
    """Write arrays as a buffer."""
    np.savez_compressed(folder / "replay.npz", **arrays)


def member(name, content, folder):
    """Write a buffer of a good frame, with one member replaced."""
    blobs = {}
    for key, array in (("frame0", FRAME), ("labels0", LABELS)):
        stream = io.BytesIO()
        np.save(stream, array)
        blobs[key] = stream.getvalue()
    with zipfile.ZipFile(folder / "replay.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key, blob in {**blobs, name: content}.items():
            archive.writestr(f"{key}.npy", blob)


def test_what_is_packed_is_read(tmp_path):
    frame = np.random.default_rng(0).random((1, 8, 9), np.float32)
    images = [
        TrainingImage("a", frame, LABELS, weight=np.eye(8, 9, dtype=np.float32)),
        TrainingImage("b", np.asfortranarray(frame), np.zeros((8, 9), np.uint8)),
    ]
    assert replay.read(tmp_path) == []
    (tmp_path / "replay.npz").write_bytes(replay.pack(images))
    for image, kept in zip(images, replay.read(tmp_path), strict=True):
        np.testing.assert_allclose(kept.frame, image.frame, atol=1e-3)
        np.testing.assert_array_equal(kept.labels, image.labels)
        assert (kept.weight is None) == (image.weight is None)
    np.testing.assert_array_equal(replay.read(tmp_path)[0].weight, images[0].weight)


@pytest.mark.parametrize(
    "arrays",
    [
        {"frame0": FRAME},
        {"frame0": FRAME[0], "labels0": LABELS},
        {"frame0": FRAME, "labels0": LABELS.T},
        {"frame0": FRAME, "labels0": LABELS[None]},
        {"frame0": FRAME, "labels0": LABELS.astype(np.float32)},
        {"frame0": FRAME, "labels0": LABELS.astype(np.int32) * -1},
        {"frame0": FRAME.astype(np.uint8), "labels0": LABELS},
        {"frame0": FRAME.astype(complex), "labels0": LABELS},
        {"frame0": FRAME * np.nan, "labels0": LABELS},
        {"frame0": FRAME, "labels0": LABELS, "weight0": LABELS[:3]},
        {"frame0": FRAME[:, :0], "labels0": LABELS[:0]},
        {"frame0": np.array([{}], object), "labels0": LABELS},
        {"frame0": np.ones((1, 1, 5000), np.float16), "labels0": np.ones((1, 5000), np.uint16)},
    ],
)
def test_odd_arrays_are_told(tmp_path, arrays):
    write(tmp_path, **arrays)
    with pytest.raises(CheckpointError, match=r"replay buffer of checkpoint .*Delete .*replay.npz"):
        replay.read(tmp_path)


def header(shape, dtype="<f2"):
    """Return the start of an array that claims a shape."""
    stream = io.BytesIO()
    claimed = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, claimed)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\x93NUMPY",
        header((1, 10**6, 10**9)),
        header((2, 8, 9)),
        header((-1, 8, 9)) + bytes(288),
        header((2, 8, 9), "|O") + bytes(1152),
        header((2, 8, 9)).replace(b"descr", b"desc(") + bytes(288),
    ],
)
def test_arrays_that_claim_more_than_there_is(tmp_path, content):
    member("frame0", content, tmp_path)
    with pytest.raises(CheckpointError):
        replay.read(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "replay.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z,
        z.open("frame0.npy", "w") as stream,
    ):
        for _ in range(250):
            stream.write(bytes(1_000_000))
    with pytest.raises(CheckpointError, match="more than 200,000,000"):
        replay.read(tmp_path)


def test_frames_that_are_large_together_are_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "replay.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        for number in range(5):
            with z.open(f"frame{number}.npy", "w") as stream:
                for _ in range(50):
                    stream.write(bytes(1_000_000))
    with pytest.raises(CheckpointError, match="more than 200,000,000"):
        replay.read(tmp_path)


def test_any_damage_to_a_file_is_told(tmp_path):
    image = TrainingImage(
        "a", np.random.default_rng(0).random((1, 32, 32), np.float32), np.ones((32, 32), np.uint8)
    )
    blob = replay.pack([image])
    rng = np.random.default_rng(0)
    spoilt = [blob[: int(n)] for n in rng.integers(0, len(blob), 20)]
    for where in rng.integers(0, len(blob), 150):
        flipped = bytearray(blob)
        flipped[where] ^= int(rng.integers(1, 255))
        spoilt.append(bytes(flipped))
    told = 0
    for content in spoilt:
        (tmp_path / "replay.npz").write_bytes(content)
        try:
            for kept in replay.read(tmp_path):
                assert kept.frame.shape == image.frame.shape
        except CheckpointError:
            told += 1
    assert told > len(spoilt) / 2
