"""Intensity normalisation, by percentiles of a whole image or by published statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ImageError

# Number of pixels that are normalised at a time.
PIECE = 1_000_000


@dataclass(frozen=True)
class Normalisation:
    """Map two percentiles of the whole image to 0 and 1, or standardise its channels.

    With `mean` and `std`, the percentiles and the clipping do not count: the full range of
    intensities becomes 0 to 1, the mean of each channel is subtracted, and the rest is divided by
    its standard deviation. The full range of integers of 8 and 16 bits is that of their type.
    Of other numbers it is 0 to 1 or 0 to 255 if all pixels lie in there, or else the range that
    they have.

    Attributes
    ----------
    low, high : float
        The percentiles, 0 <= low < high <= 100.
    clip_low, clip_high : float
        Range to which normalised values are clipped, which limits the effect of hot pixels.
    mean, std : tuple of float
        Of each channel, where the full range of intensities is 0 to 1. Empty for percentiles.

    Raises
    ------
    ValueError
        If the percentiles are out of range or in the wrong order, or a channel lacks a finite mean
        or a standard deviation above 0.
    """

    low: float = 1.0
    high: float = 99.8
    clip_low: float = -1.0
    clip_high: float = 3.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"Percentiles must be 0 <= low < high <= 100, not {self}.")
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"Every channel needs a mean and a standard deviation, but there are "
                f"{len(self.mean)} means and {len(self.std)} standard deviations."
            )
        if not all(map(math.isfinite, self.mean)):
            raise ValueError(f"The mean of every channel must be finite, not {self.mean}.")
        if not all(0 < std < math.inf for std in self.std):
            raise ValueError(
                f"The standard deviation of every channel must be above 0, not {self.std}."
            )

    @property
    def inverted_sums(self) -> tuple[float, ...]:
        """What a value and that of the inverted image add up to, per channel; one for all is 1."""
        each = zip(self.mean, self.std, strict=True)
        return tuple((1 - 2 * mean) / std for mean, std in each) or (1.0,)

    def with_channels(self, count: int) -> Normalisation:
        """Return the normalisation of as many channels: a mean for one, repeated for more."""
        known = len(self.mean)
        if known in (0, count):
            return self
        if count == 1:
            return replace(self, mean=(sum(self.mean) / known,), std=(sum(self.std) / known,))
        order = [k % known for k in range(count)]
        return replace(
            self,
            mean=tuple(self.mean[k] for k in order),
            std=tuple(self.std[k] for k in order),
        )

    def limits(self, image: np.ndarray, dtype: np.dtype | None = None) -> tuple[float, float]:
        """Return the two intensities that become 0 and 1, before channels are standardised.

        Parameters
        ----------
        image : ndarray
            Any shape, real or boolean. NaN and infinities are left out.
        dtype : dtype, optional
            In which the pixels are stored, if `image` was computed from them.

        Returns
        -------
        tuple of float
            Equal only if the image is constant.

        Raises
        ------
        ImageError
            If no pixel is finite.
        """
        dtype = np.asarray(image).dtype if dtype is None else np.dtype(dtype)
        sample = np.asarray(image)
        # Unsigned integers give the same percentiles in an eighth of the memory; those of signed
        # ones overflow in NumPy.
        if sample.dtype.kind != "u" or sample.dtype.itemsize > 2:
            sample = sample.astype(np.float64)
            finite = np.isfinite(sample)
            sample = sample.reshape(-1) if finite.all() else sample[finite]
        if sample.size == 0:
            raise ImageError("The image holds no finite number: every pixel is NaN or infinite.")
        if self.mean:
            return _full_range(float(sample.min()), float(sample.max()), dtype)
        own = sample.dtype == np.float64  # a copy, which may be put in another order
        low, high = np.percentile(sample, (self.low, self.high), overwrite_input=own)
        if high <= low:  # nearly all pixels are equal: fall back to the full range
            low, high = sample.min(), sample.max()
        return float(low), float(high)

    def apply(self, frame: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """Normalise a frame.

        Parameters
        ----------
        frame : ndarray
            Any shape, real or boolean; where several channels are standardised, they come first.
            NaN and infinities become 0.
        limits : tuple of float
            The intensities that become 0 and 1, see `limits`.

        Returns
        -------
        ndarray
            float32 of the same shape, from `clip_low` to `clip_high` unless standardised; all
            zeros if the limits are equal.

        Raises
        ------
        ValueError
            If several channels are standardised and the frame has another number of them.
        """
        low, high = limits
        if high <= low:
            return np.zeros(frame.shape, np.float32)
        if len(self.mean) > 1 and len(frame) != len(self.mean):
            raise ValueError(f"{len(self.mean)} channels were expected, not {len(frame)}.")
        channels = frame.reshape(max(1, len(self.mean)), -1)
        normalised = np.empty(channels.shape, np.float32)
        for number, pixels in enumerate(channels):
            # Piece by piece, because two float64 copies of a row of tiles would take much memory.
            for start in range(0, pixels.size, PIECE):
                scaled = pixels[start : start + PIECE].astype(np.float64)
                scaled -= low
                scaled /= high - low
                if self.mean:
                    scaled -= self.mean[number]
                    scaled /= self.std[number]
                scaled[~np.isfinite(scaled)] = 0
                if not self.mean:
                    np.clip(scaled, self.clip_low, self.clip_high, out=scaled)
                normalised[number, start : start + PIECE] = scaled
        return normalised.reshape(frame.shape)

    def undo(self, frame: np.ndarray) -> np.ndarray:
        """Return a normalised frame ``(C, H, W)`` with its limits at 0 and 1 again.

        The channels of several slices may follow each other.
        """
        if not self.mean:
            return frame
        slices = len(frame) // len(self.mean)
        mean, std = (
            np.tile(np.asarray(each, np.float32), slices)[:, None, None]
            for each in (self.mean, self.std)
        )
        return np.asarray(frame * std + mean, np.float32)


def _full_range(lowest: float, highest: float, dtype: np.dtype) -> tuple[float, float]:
    """Return the intensities that stand for black and white, equal if the image is constant."""
    if lowest == highest:
        return lowest, highest
    if dtype.kind in "iu" and dtype.itemsize <= 2:  # larger integers are rarely filled by intent
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    for white in (1.0, 255.0):
        if lowest >= 0 and highest <= white:
            return 0.0, white
    return lowest, highest
