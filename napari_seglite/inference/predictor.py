"""A network as a function of NumPy arrays that can be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .request import Ensemble
from .runtimes import Runtime, TorchRuntime

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..checkpoints import CheckpointInfo

# Limit for stored features of neighbouring slices; beyond it they are computed again.
KEPT_BYTES = 2_000_000_000

# Axes along which the members of an ensemble of flips mirror a tile.
_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class Predictor:
    """A network as a function of tiles.

    A network that reads several slices encodes each slice once per stack: the features of its
    tiles are stored for the neighbouring slices.

    Parameters
    ----------
    network : Module
        On `device`, in evaluation mode.
    device : str
        As `devices.resolve` returns it.
    ensemble : str
        As in `SegmentRequest`.
    info : CheckpointInfo, optional
        Card of the network's checkpoint; without it all channels are those of classes.
    runtime : Runtime, optional
        What computes the network; torch if not given.
    """

    def __init__(
        self,
        network: nn.Module,
        device: str,
        ensemble: Ensemble = "none",
        info: CheckpointInfo | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.network, self.device, self.ensemble = network, device, ensemble
        self.runtime = runtime or TorchRuntime(network)
        self._head = "" if info is None else info.head
        self._classes = info.classes if info is not None and info.head else None
        self._foreground = None if info is None else max(info.classes - 1, 1)
        self._indices: tuple[int, ...] = ()
        self._features: dict[tuple[int, ...], list[Tensor]] = {}

    def at(self, indices: tuple[int, ...]) -> None:
        """Set the slices of the tiles that follow; features of other slices are dropped."""
        self._indices = indices
        self._features = {k: v for k, v in self._features.items() if k[0] in indices}

    def __call__(self, tile: np.ndarray, number: int = 0) -> np.ndarray:
        """Predict a tile.

        Parameters
        ----------
        tile : ndarray
            ``(C, h, w)`` or ``(S, C, h, w)`` float32.
        number : int
            Number of the tile within its frame.

        Returns
        -------
        ndarray
            ``(K, h, w)`` float32: the foreground probability, or one per class that sum to 1; then
            the channels of an object head, see `object_heads.activated`. An ensemble adds a last
            channel, its disagreement: twice the standard deviation, 0 to 1.
        """
        import torch

        with torch.inference_mode():
            members = list(self._members(tile, number))
            if self.ensemble == "none":
                return np.asarray(members[0].numpy())
            stacked = torch.stack(members)
            spread = 2 * stacked[:, : self._classes].std(0, correction=0).amax(0, keepdim=True)
            return np.asarray(torch.cat([stacked.mean(0), spread]).numpy())

    def presence(self, tile: np.ndarray) -> np.ndarray:
        """Return the probability that each foreground class is in a tile at all, ``(F,)``.

        For networks with guided modules.
        """
        import torch

        network: Any = self.network
        with torch.inference_mode():
            logits = network.presence(torch.from_numpy(tile)[None].to(self.device))[0]
            return np.asarray(logits[: self._foreground].float().sigmoid().cpu().numpy())

    def _members(self, tile: np.ndarray, number: int) -> Iterator[Tensor]:
        import torch

        from src_models.pixel_features import added

        network: Any = self.network
        if self.ensemble == "heads":
            pixels = torch.from_numpy(tile)[None].to(self.device)
            for logits in added(network, network.row_outputs(pixels), pixels):
                yield self._values(logits)
            return
        for k, flip in enumerate(_FLIPS if self.ensemble == "flips" else _FLIPS[:1]):
            mirrored = torch.from_numpy(tile).flip(flip) if flip else torch.from_numpy(tile)
            if tile.ndim == 4 and self._indices:
                maps = [
                    self._encoded(pixels, index, number, k)
                    for index, pixels in zip(self._indices, mirrored, strict=True)
                ]
                logits = self.runtime.decode(maps, (tile.shape[-2], tile.shape[-1]))
                logits = added(network, logits, mirrored[None].to(self.device))
            else:
                logits = self.runtime.forward(mirrored[None].to(self.device))
            yield self._values(logits, flip)

    def _values(self, logits: Tensor, flip: tuple[int, ...] = ()) -> Tensor:
        """Return probabilities and the head's channels of a mirrored tile, mirrored back."""
        import torch

        from src_models import object_heads

        logits = logits[0].float()
        own = logits[: self._classes]
        values = own.sigmoid() if len(own) == 1 else own.softmax(0)
        values = values.flip(flip) if flip else values
        if not self._head:
            return values.cpu()
        head = object_heads.activated(self._head, logits[self._classes :])
        return torch.cat([values, object_heads.flipped(self._head, head, flip)]).cpu()

    def _encoded(self, pixels: Tensor, *place: int) -> list[Tensor]:
        """Return the features of a tile; `place` is its slice, number and flip."""
        if place in self._features:
            return self._features[place]
        maps = self.runtime.encode(pixels[None].to(self.device))
        stored = sum(m.nbytes for features in list(self._features.values()) for m in features)
        if stored < KEPT_BYTES:
            self._features[place] = maps
        return maps
