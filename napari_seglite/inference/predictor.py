"""A network as a function of NumPy arrays that can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

# Of features of neighbouring slices; beyond this they are computed again.
KEPT_BYTES = 2_000_000_000


# Axes along which the members of an ensemble of flips see a tile mirrored.
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class Predictor:
    """A network as a function of tiles.

    Of a network that reads several slices, each slice is encoded once while a stack is swept: a
    tile's features are kept for its neighbours.

    Parameters
    ----------
    network : Module
        On `device`, in evaluation mode.
    device : str
        Where it runs.
    ensemble : str
        As in `SegmentRequest`.
    """

    def __init__(self, network: nn.Module, device: str, ensemble: str = "none") -> None:
        self.network, self.device, self.ensemble = network, device, ensemble
        self._indices: tuple[int, ...] = ()
        self._features: dict[tuple[int, ...], list[Tensor]] = {}

    def at(self, indices: tuple[int, ...]) -> None:
        """Say which slices the tiles that follow show; features of others are dropped."""
        self._indices = indices
        self._features = {k: v for k, v in self._features.items() if k[0] in indices}

    def __call__(self, tile: np.ndarray, number: int = 0) -> np.ndarray:
        """Segment a tile.

        Parameters
        ----------
        tile : ndarray
            ``(C, h, w)`` or ``(S, C, h, w)`` float32.
        number : int
            Which tile of the frame it is.

        Returns
        -------
        ndarray
            ``(K, h, w)`` float32: one foreground probability, or one a class that sum to 1. Of an
            ensemble one channel more, its disagreement: twice the standard deviation, 0 to 1.
        """
        import torch

        with torch.inference_mode():
            members = [_probabilities(logits) for logits in self._members(tile, number)]
            if self.ensemble == "none":
                return np.asarray(members[0].numpy())
            stacked = torch.stack(members)
            spread = 2 * stacked.std(0, correction=0).amax(0, keepdim=True)
            return np.asarray(torch.cat([stacked.mean(0), spread]).numpy())

    def _members(self, tile: np.ndarray, number: int) -> Iterator[Tensor]:
        import torch

        network: Any = self.network
        if self.ensemble == "heads":
            yield from network.row_outputs(torch.from_numpy(tile)[None].to(self.device))
            return
        for k, flip in enumerate(_FLIPS if self.ensemble == "flips" else _FLIPS[:1]):
            seen = torch.from_numpy(tile).flip(flip) if flip else torch.from_numpy(tile)
            if tile.ndim == 4 and self._indices:
                maps = [
                    self._encoded(pixels, index, number, k)
                    for index, pixels in zip(self._indices, seen, strict=True)
                ]
                logits = network.decode(*maps, tile.shape[-2:])
            else:
                logits = network(seen[None].to(self.device))
            yield logits.flip(flip) if flip else logits

    def _encoded(self, pixels: Tensor, *place: int) -> list[Tensor]:
        """Return the features of a tile at a place: slice, tile, flip."""
        if place in self._features:
            return self._features[place]
        network: Any = self.network
        maps: list[Tensor] = network.encode(pixels[None].to(self.device))
        held = sum(m.nbytes for kept in self._features.values() for m in kept)
        if held < KEPT_BYTES:
            self._features[place] = maps
        return maps


def _probabilities(logits: Tensor) -> Tensor:
    logits = logits.float()
    values = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
    return values[0].cpu()
