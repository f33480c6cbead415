"""Pixels of DICOM frames as they are displayed, in physical values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ..errors import ImageError
from .dicom_frames import Frame
from .limits import check_in_memory

_ADVICE = "Put fewer of its files into a folder of their own."
_WHOLE = ("uint8", "int16", "uint16", "int32")


def read_frames(frames: Sequence[Frame], labels: bool) -> tuple[np.ndarray, list[str]]:
    """Read frames of equal size.

    MONOCHROME1, which is displayed with low values white, is inverted. Palettes become colours.

    Parameters
    ----------
    frames : sequence of Frame
        In the order wanted.
    labels : bool
        Whether the pixels are labels: neither inverted nor coloured.

    Returns
    -------
    ndarray
        ``(N, H, W)`` or, in colours, ``(N, H, W, 3)``.
    list of str
        Notices.

    Raises
    ------
    ImageError
        If the pixels do not fit into memory, or no decoder for their compression is installed.
    """
    header = frames[0].header
    notices = []
    kind = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if kind == "MONOCHROME1" and not labels:
        notices.append("Its low values are meant to be white (MONOCHROME1), so it was inverted.")
    if kind == "PALETTE COLOR" and not labels:
        notices.append("The colours of its palette are read, not the indices.")
    wanted = _dtype(frames)
    samples, bits = (int(header.get(n) or 1) for n in ("SamplesPerPixel", "BitsAllocated"))
    stored = (len(frames), int(header.Rows), int(header.Columns), samples)
    check_in_memory(stored, f"V{max(bits // 8, 1)}", _ADVICE)
    pixels: np.ndarray | None = None
    for k, plane in _decoded(frames):
        shown = _displayed(plane, frames[k], kind, labels)
        shown = shown if wanted is None else shown.astype(wanted)
        if pixels is None:
            shape = (len(frames), *shown.shape)
            check_in_memory(shape, shown.dtype, _ADVICE)
            pixels = np.empty(shape, shown.dtype)
        pixels[k] = shown
    assert pixels is not None  # there is a frame
    return pixels, notices


def _decoded(frames: Sequence[Frame]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the position of each frame in the sequence and its pixels, file by file."""
    import pydicom
    from pydicom.pixels import iter_pixels

    order = sorted(range(len(frames)), key=lambda k: (str(frames[k].file), frames[k].number))
    for file, group in groupby(order, key=lambda k: frames[k].file):
        positions = list(group)
        dataset = pydicom.dcmread(file, force=True)
        _check_syntax(dataset)
        indices = [frames[k].number for k in positions]
        try:
            yield from zip(positions, iter_pixels(dataset, indices=indices), strict=True)
        except Exception as error:
            raise ImageError(
                f"{file}: its pixels are damaged or missing ({str(error)[:300]})."
            ) from error


def _check_syntax(dataset: Any) -> None:
    """Raise `ImageError` if the pixels are compressed and nothing installed decodes them."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", {})
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:  # as files without preamble are
        if not getattr(dataset, "file_meta", None):
            from pydicom.dataset import FileMetaDataset

            dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return
    if not syntax.is_compressed:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ImageError(
            f"its pixels are compressed as {syntax.name}, which cannot be read. Convert it, for "
            "example with dcmdjpeg of DCMTK, or a film with ffmpeg."
        ) from error
    if not decoder.is_available:
        raise ImageError(
            f"its pixels are compressed as {syntax.name}; 'pip install pylibjpeg "
            "pylibjpeg-libjpeg pylibjpeg-openjpeg' installs a decoder."
        )


# ------------------------------------------------------------------ values
def _displayed(plane: np.ndarray, frame: Frame, kind: str, labels: bool) -> np.ndarray:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    header = frame.header
    if plane.ndim == 3:
        return plane
    if plane.dtype.kind in "ui":
        plane = _used_bits(plane, header)
    if kind == "PALETTE COLOR":
        return plane if labels else np.asarray(apply_color_lut(plane, header))[..., :3]
    if kind == "MONOCHROME1" and not labels and plane.dtype.kind in "ui":
        low, high = _range(header)
        plane = (low + high - plane.astype(np.int64)).astype(plane.dtype)
    if header.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(plane, header))
    slope, intercept = frame.rescale
    if (slope, intercept) == (1, 0):
        return plane
    return plane.astype(np.float64) * slope + intercept


def _used_bits(plane: np.ndarray, header: Any) -> np.ndarray:
    """Return stored values without the bits above them, where old files keep overlays."""
    allocated, stored = int(header.BitsAllocated), int(header.get("BitsStored") or 0)
    if not 0 < stored < allocated:
        return plane
    shift = max(int(header.get("HighBit", stored - 1)) + 1 - stored, 0)
    bits = (plane >> shift) & plane.dtype.type((1 << stored) - 1)
    if plane.dtype.kind == "u":
        return np.asarray(bits)
    sign = plane.dtype.type(1 << (stored - 1))
    return np.asarray((bits ^ sign) - sign)


def _range(header: Any) -> tuple[int, int]:
    """Return the lowest and the highest value that can be stored."""
    bits = int(header.get("BitsStored") or header.BitsAllocated)
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if header.get("PixelRepresentation") else (
        0, (1 << bits) - 1
    )  # fmt: skip


def _dtype(frames: Sequence[Frame]) -> np.dtype[Any] | None:
    """Return the type of physical values; None for that of the stored values."""
    scales = {frame.rescale for frame in frames}
    if scales == {(1.0, 0.0)} or any(
        int(frame.header.get("SamplesPerPixel") or 1) > 1
        or frame.header.get("ModalityLUTSequence")
        or frame.header.get("PhotometricInterpretation") == "PALETTE COLOR"
        for frame in frames
    ):
        return None
    integers = all(float(n).is_integer() for scale in scales for n in scale)
    if integers and "BitsAllocated" in frames[0].header:
        low, high = np.array([_range(frame.header) for frame in frames]).T
        ends = [end * slope + shift for slope, shift in scales for end in (low.min(), high.max())]
        for name in _WHOLE:
            limits = np.iinfo(name)
            if limits.min <= min(ends) and max(ends) <= limits.max:
                return np.dtype(name)
    return np.dtype(np.float32)
