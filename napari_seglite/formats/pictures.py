"""PNG, JPEG, JPEG 2000, WebP, GIF and BMP pictures."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .colours import is_grey
from .image_file import ImageFile
from .limits import check_claim, check_in_memory

# Kinds of pictures: Pillow's module and class, and how far the compression can shrink one;
# None if there is no bound.
_PILLOW: dict[str, tuple[str, str, float | None]] = {
    "PNG": ("PngImagePlugin", "PngImageFile", 1100),
    "JPEG": ("JpegImagePlugin", "JpegImageFile", 1100),
    "BMP": ("BmpImagePlugin", "BmpImageFile", 300),
    "GIF": ("GifImagePlugin", "GifImageFile", None),
    "WebP": ("WebPImagePlugin", "WebPImageFile", None),
    "JPEG 2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile", None),
}
_ORIENTATION = 0x0112
_TRANSPARENT = "The file's transparency (alpha channel) is left out."
_ADVICE = "Save it as a tiled TIFF, which is read piece by piece."


@dataclass
class _Picture:
    """Pixels of a picture, and what is said of them."""

    pixels: np.ndarray
    letters: str
    alpha: bool = False
    notices: list[str] = field(default_factory=list)
    sizes: dict[str, float] = field(default_factory=dict)


def kind_of(start: bytes) -> str | None:
    """Return the kind of picture that a file is, by its first 12 bytes; None if it is none."""
    magics = {
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"\xff\xd8\xff": "JPEG",
        b"GIF8": "GIF",
        b"\0\0\0\x0cjP  ": "JPEG 2000",
        b"\xff\x4f\xff\x51": "JPEG 2000",
    }
    for magic, kind in magics.items():
        if start.startswith(magic):
            return kind
    if start[:2] == b"BM" and start[6:10] == b"\0\0\0\0":
        return "BMP"
    return "WebP" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a picture, grey or in colours; an alpha channel is left out.

    Rows and columns are as they are stored, as napari shows them, even if the file asks viewers to
    turn the picture.

    Raises
    ------
    ImageError
        If the file is damaged, or claims more pixels than it can hold or the memory takes.
    """
    with path.open("rb") as file:
        kind = kind_of(file.read(12))
    if kind is None:
        raise ImageError("the file is damaged or not an image.")
    picture = _decoded(path, kind, labels)
    if picture.alpha:
        picture = _opaque(picture)
    pixels, letters = picture.pixels, picture.letters
    if letters.endswith("C") and pixels.shape[-1] == 1:
        pixels, letters = pixels[..., 0], letters[:-1]
    rgb = letters.endswith("C") and pixels.shape[-1] == 3
    return ImageFile.from_levels(
        [pixels], letters, picture.sizes, {"T": "ms"}, rgb=rgb, notices=tuple(picture.notices)
    )


def _decoded(path: Path, kind: str, labels: bool) -> _Picture:
    module, name, ratio = _PILLOW[kind]
    opener = getattr(importlib.import_module(f"PIL.{module}"), name)
    size = path.stat().st_size
    # Not through Image.open: its bound on the number of pixels is below that of slides.
    with path.open("rb") as file, opener(file) as image:
        width, height = image.size
        bits, samples = _stored(image, kind, file)
        if ratio is not None:
            check_claim((height, math.ceil(width * samples * bits / 8)), np.uint8, size, ratio)
        frames = int(getattr(image, "n_frames", 1))
        held = frames if kind == "GIF" else 1
        check_in_memory((held, height, width, samples), f"u{max(bits // 8, 1)}", _ADVICE)
        animated = kind == "GIF" and frames > 1 and not labels
        notices = _notices(image, 1 if animated else frames)
        if animated:
            picture = _animation(image, frames)
        elif kind == "JPEG 2000" or (kind == "PNG" and bits == 16 and samples > 1):
            picture = _by_imagecodecs(path, kind)
        else:
            picture = _by_pillow(image, labels, bits)
    picture.notices += notices
    return picture


def _stored(image: Any, kind: str, file: Any) -> tuple[int, int]:
    """Return the bits of a sample and the samples of a pixel, as they are stored."""
    samples = 1 if image.mode == "P" else len(image.getbands())
    if kind == "PNG":
        place = file.tell()
        file.seek(24)
        header = file.read(2)
        file.seek(place)
        return header[0], {2: 3, 4: 2, 6: 4}.get(header[1], 1)
    bits = 1 if image.mode == "1" else 16 if image.mode.startswith("I") else 8
    return bits, samples


def _notices(image: Any, frames: int) -> list[str]:
    """Return what is said of a picture's frames and its orientation."""
    said = []
    if frames > 1:
        said.append(f"The file holds {frames} pictures; the first is read.")
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # metadata of any content; the picture is read without them
        orientation = 1
    if orientation != 1:
        said.append(turned(f"EXIF orientation {orientation}"))
    return said


def turned(orientation: str) -> str:
    """Return the notice on a picture that is stored otherwise than viewers should show it."""
    return (
        f"The file asks viewers to turn or mirror it ({orientation}); it is read as it is stored, "
        "as napari shows it."
    )


def _by_pillow(image: Any, labels: bool, bits: int) -> _Picture:
    mode = image.mode
    if mode == "P":
        return _palette(image, labels)
    if mode == "1":
        pixels = np.asarray(image).astype(np.uint8)
        return _Picture(pixels if labels else pixels * 255, "YX")
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        inks = ["The inks of this picture are shown as colours."] if mode == "CMYK" else []
        return _Picture(np.asarray(image.convert("RGB")), "YXC", notices=inks)
    pixels = np.asarray(image)
    if pixels.dtype == np.int32 and pixels.min(initial=0) >= 0 and pixels.max(initial=0) < 2**16:
        pixels = pixels.astype(np.uint16)
    if labels and bits in (2, 4) and mode == "L":
        pixels = pixels // (255 // (2**bits - 1))  # stored numbers; viewers spread them to 255
    if mode == "RGBX":
        pixels = pixels[..., :3]
    alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa")
    return _Picture(pixels, "YXC" if pixels.ndim == 3 else "YX", alpha)


def _palette(image: Any, labels: bool) -> _Picture:
    """Return the indices of a palette's colours, or the colours."""
    indices = np.asarray(image)
    if labels:
        return _Picture(indices, "YX")
    stored = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(stored)] = stored
    used = np.unique(indices)
    notices = []
    if is_grey(colours[used]):
        grey = colours[:, 0]
        pixels, letters = grey[indices], "YX"
        if not np.array_equal(pixels, indices):
            notices.append("The indices of this picture's palette are read as its grey values.")
    else:
        pixels, letters = colours[indices], "YXC"
        notices.append("The indices of this picture's palette are read as its colours.")
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):
        opacity = np.frombuffer(clear.ljust(256, b"\xff")[:256], np.uint8)[used]
        if (opacity != opacity[0]).any():
            notices.append(_TRANSPARENT)
    elif isinstance(clear, int) and clear in used:
        notices.append(_TRANSPARENT)
    return _Picture(pixels, letters, notices=notices)


def _opaque(picture: _Picture) -> _Picture:
    """Return a picture without its last channel, which is its transparency."""
    alpha = picture.pixels[..., -1]
    if (alpha != alpha.flat[0]).any():
        picture.notices.append(_TRANSPARENT)
    return _Picture(picture.pixels[..., :-1], picture.letters, notices=picture.notices)


def _by_imagecodecs(path: Path, kind: str) -> _Picture:
    """Return pixels of any number of bits."""
    import imagecodecs

    data = path.read_bytes()
    if kind == "PNG":
        return _Picture(imagecodecs.png_decode(data), "YXC", alpha=data[25] in (4, 6))
    pixels = imagecodecs.jpeg2k_decode(data)
    # Channels are named in a box of the header, which a bare code stream lacks.
    alpha = pixels.ndim == 3 and pixels.shape[-1] in (2, 4) and b"cdef" in data[:4096]
    return _Picture(pixels, "YXC" if pixels.ndim == 3 else "YX", alpha)


def _animation(image: Any, frames: int) -> _Picture:
    """Return the frames of an animation as time points."""
    found, times = [], []
    for k in range(frames):
        image.seek(k)
        times.append(float(image.info.get("duration", 0)))
        found.append(np.asarray(image.convert("RGB")))
    pixels = np.stack(found)
    sizes = {"T": times[0]} if len(set(times)) == 1 else {}
    if (pixels == pixels[..., :1]).all():
        return _Picture(pixels[..., 0], "TYX", sizes=sizes)
    return _Picture(pixels, "TYXC", sizes=sizes)
