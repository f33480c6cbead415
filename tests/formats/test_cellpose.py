"""Cellpose's results, and pickles that are none: nothing runs, and all of them end soon."""

import io
import pickle
import struct

import numpy as np
import pytest

from napari_seglite.errors import ImageError
from napari_seglite.formats import read_image, read_label_file, read_labels


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "<i8", "?"])
@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8), (2, 3, 6, 8)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_of_any_type_and_shape(tmp_path, dtype, shape, order):
    masks = np.asarray(np.arange(np.prod(shape)).reshape(shape) % 100, dtype, order=order)
    np.save(tmp_path / "a_seg.npy", {"masks": masks, "zdraw": [None] * 9}, allow_pickle=True)
    image = read_image(tmp_path / "a_seg.npy")
    np.testing.assert_array_equal(image.array, masks)
    assert image.axes.order == "TZYX"[-len(shape) :]
    assert image.guesses == (() if len(shape) == 2 else ("axes",))


def test_masks_that_are_whole_floats(tmp_path):
    masks = np.array([[0.0, 1], [2, 3]])
    np.save(tmp_path / "a_seg.npy", {"masks": masks}, allow_pickle=True)
    assert read_labels(tmp_path / "a_seg.npy").dtype == np.uint8
    for wrong in (masks + 0.5, masks.astype(complex), masks.astype(object), np.zeros(3, int)):
        np.save(tmp_path / "b_seg.npy", {"masks": wrong}, allow_pickle=True)
        with pytest.raises(ImageError, match=r"b_seg\.npy"):
            read_label_file(tmp_path / "b_seg.npy")


def header():
    """Return the beginning of an object array's file."""
    file = io.BytesIO()
    np.save(file, np.array(None, object), allow_pickle=True)
    return file.getvalue()[: file.getvalue().index(b"\x80")]


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


DOUBLED = b"".join(b"h%c" % k + b"h%c" % k + b"\x86q%c" % (k + 1) for k in range(60))
BOMBS = {
    # ((x, x), (x, x)) ... 60 times, as a key and as the masks
    "key": b"}" + b"K\x01q\x00" + DOUBLED + b"K\x01s.",
    "masks": b"}" + text(b"masks") + b"K\x01q\x00" + DOUBLED + b"s.",
    # a name of 2 ** 40 characters
    "name": text(b"ab") + b"q\x00" + b"h\x00h\x00\x93q\x00" * 40 + b".",
    "deep tuples": b")" + b"\x85" * 100_000 + b".",
    "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep calls": text(b"f") + b")R" * 50_000 + b".",
    "marks": b"N" * 50_000 + b"(t" * 50_000 + b".",
    "parts": b"N" * 2_000_000 + b".",
    "a claim of 2 ** 60 bytes": b"\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "copies": b"N2.",
    "no end": b"}",
    "nothing on the stack": b"\x87.",
    "itself": b"]q\x00h\x00a.",
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_pickles_that_explode_do_not(tmp_path, bomb):
    path = tmp_path / "a_seg.npy"
    path.write_bytes(header() + b"\x80\x04" + BOMBS[bomb])
    with pytest.raises(ImageError, match=r"a_seg\.npy"):
        read_image(path)


class Described:
    """Pickles as an array whose type is whatever is given."""

    def __init__(self, code, shape=(2, 2), data=b"\0" * 4):
        self.code, self.shape, self.data = code, shape, data

    def __reduce__(self):
        return np.ndarray, ((0,),), (1, self.shape, Dtype(self.code), False, self.data)


class Dtype:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return np.dtype, (self.code,)


@pytest.mark.parametrize(
    "masks",
    [
        Described("O"), Described("u1," * 1000), Described(("u1",) * 3), Described("u1", (2, -1)),
        Described("u1", (2**40, 2**40)), Described("u1", ("2", 2)), Described("u1", data="ab"),
        Described("u1", data=None), Described("V4"),
    ],
)  # fmt: skip
def test_arrays_that_describe_themselves_wrongly(tmp_path, masks):
    path = tmp_path / "a_seg.npy"
    path.write_bytes(header() + pickle.dumps([{"masks": masks}], 4))
    with pytest.raises(ImageError, match=r"a_seg\.npy"):
        read_image(path)
