"""Intensity normalisation by percentiles of a whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ImageError

# Pixels that are normalised at a time.
PIECE = 1_000_000


@dataclass(frozen=True)
class Normalisation:
    """Map two percentiles of the whole image to 0 and 1.

    Attributes
    ----------
    low, high : float
        The percentiles, 0 <= low < high <= 100.
    clip_low, clip_high : float
        Normalised values are clipped to this range, so that one hot pixel cannot
        outshine an image.
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
        """Normalise a frame of any shape to float32; missing pixels become 0."""
        low, high = limits
        if high <= low:
            return np.zeros(frame.shape, np.float32)
        pixels, found = frame.reshape(-1), np.empty(frame.size, np.float32)
        # Piece by piece: a row of tiles of a large image is large itself, in float64 twice.
        for start in range(0, pixels.size, PIECE):
            scaled = pixels[start : start + PIECE].astype(np.float64)
            scaled -= low
            scaled /= high - low
            scaled[~np.isfinite(scaled)] = 0
            found[start : start + PIECE] = np.clip(scaled, self.clip_low, self.clip_high)
        return found.reshape(frame.shape)
