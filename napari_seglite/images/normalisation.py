"""Intensity normalisation by percentiles of a whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ImageError

# Number of pixels that are normalised at a time.
PIECE = 1_000_000


@dataclass(frozen=True)
class Normalisation:
    """Map two percentiles of the whole image to 0 and 1.

    Attributes
    ----------
    low, high : float
        The percentiles, 0 <= low < high <= 100.
    clip_low, clip_high : float
        Range to which normalised values are clipped, which limits the effect of hot pixels.

    Raises
    ------
    ValueError
        If the percentiles are out of range or in the wrong order.
    """

    low: float = 1.0
    high: float = 99.8
    clip_low: float = -1.0
    clip_high: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"Percentiles must be 0 <= low < high <= 100, not {self}.")

    def limits(self, image: np.ndarray) -> tuple[float, float]:
        """Return the two intensities that become 0 and 1.

        Parameters
        ----------
        image : ndarray
            Any shape, real or boolean. NaN and infinities are left out.

        Returns
        -------
        tuple of float
            Equal only if the image is constant.

        Raises
        ------
        ImageError
            If no pixel is finite.
        """
        sample = np.asarray(image).astype(np.float64)
        sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            raise ImageError("The image holds no finite number: every pixel is NaN or infinite.")
        low, high = np.percentile(sample, (self.low, self.high))
        if high <= low:  # nearly all pixels are equal: fall back to the full range
            low, high = sample.min(), sample.max()
        return float(low), float(high)

    def apply(self, frame: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """Normalise a frame.

        Parameters
        ----------
        frame : ndarray
            Any shape, real or boolean. NaN and infinities become 0.
        limits : tuple of float
            The intensities that become 0 and 1, see `limits`.

        Returns
        -------
        ndarray
            float32 of the same shape, from `clip_low` to `clip_high`; all zeros if the limits are
            equal.
        """
        low, high = limits
        if high <= low:
            return np.zeros(frame.shape, np.float32)
        pixels, normalised = frame.reshape(-1), np.empty(frame.size, np.float32)
        # Piece by piece, because two float64 copies of a row of tiles would take much memory.
        for start in range(0, pixels.size, PIECE):
            scaled = pixels[start : start + PIECE].astype(np.float64)
            scaled -= low
            scaled /= high - low
            scaled[~np.isfinite(scaled)] = 0
            normalised[start : start + PIECE] = np.clip(scaled, self.clip_low, self.clip_high)
        return normalised.reshape(frame.shape)
