"""Colours of pictures: palettes, inks and other colour spaces to red, green and blue."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_grey(colours: np.ndarray) -> bool:
    """Whether all colours ``(N, 3)`` are shades of grey."""
    return bool((colours == colours[:, :1]).all())


def is_ramp(colours: np.ndarray) -> bool:
    """Whether colours ``(N, 3)`` become lighter from the first to the last, as a scale does."""
    light = colours.astype(np.float64) @ (0.299, 0.587, 0.114)
    return bool((np.diff(light) >= -0.02 * max(light.max(), 1)).all()) and light[-1] > light[0]


def cmyk_to_rgb(inks: np.ndarray) -> np.ndarray:
    """Return the colours of cyan, magenta, yellow and black inks.

    Parameters
    ----------
    inks : ndarray
        ``(..., 4)`` uint8 or uint16, the type's largest value for full ink.

    Returns
    -------
    ndarray
        ``(..., 3)`` of the same type.
    """
    full = np.iinfo(inks.dtype).max
    light: Any = full - inks.astype(np.uint32 if inks.dtype.itemsize == 1 else np.uint64)
    rgb: np.ndarray = ((light[..., :3] * light[..., 3:] + full // 2) // full).astype(inks.dtype)
    return rgb


def ycbcr_to_rgb(values: np.ndarray) -> np.ndarray:
    """Return the colours of lightness and colour differences, each of full range.

    Parameters
    ----------
    values : ndarray
        ``(..., 3)`` uint8 or uint16.

    Returns
    -------
    ndarray
        ``(..., 3)`` of the same type.
    """
    full = np.iinfo(values.dtype).max
    light, blue, red = np.moveaxis(values.astype(np.float32), -1, 0)
    blue, red = blue - (full + 1) / 2, red - (full + 1) / 2
    rgb = (light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue)
    rounded: np.ndarray = np.clip(np.rint(np.stack(rgb, -1)), 0, full).astype(values.dtype)
    return rounded


def lab_to_rgb(values: np.ndarray, kind: str = "CIE") -> np.ndarray:
    """Return the colours of CIE L*a*b* values as TIFF stores them.

    Parameters
    ----------
    values : ndarray
        ``(..., 3)`` of 8 or 16 bits.
    kind : str
        ``"CIE"``: a* and b* are signed; ``"ICC"``: they are shifted to be positive.

    Returns
    -------
    ndarray
        ``(..., 3)`` uint8.
    """
    from skimage.color import lab2rgb

    bits = 8 * values.dtype.itemsize
    stored = values.astype(np.int32) & (2**bits - 1)
    signed = stored[..., 1:].astype(np.float64)
    if kind == "ICC":
        signed -= 2 ** (bits - 1)
    else:
        signed = np.where(signed >= 2 ** (bits - 1), signed - 2**bits, signed)
    light = stored[..., :1] / (2**bits - 1) * 100
    lab = np.concatenate([light, signed / 2 ** (bits - 8)], -1)
    rgb: np.ndarray = np.rint(np.clip(lab2rgb(lab), 0, 1) * 255).astype(np.uint8)
    return rgb
