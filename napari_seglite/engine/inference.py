"""A network as a function of NumPy arrays that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..errors import Cancelled

if TYPE_CHECKING:
    from torch import Tensor, nn

Stop = Callable[[], bool]
# Of features of neighbouring slices; beyond this they are computed again.
KEPT_BYTES = 2_000_000_000


def never() -> bool:
    """Stand in for a stop button nobody can press."""
    return False


COMPILING = "Compiling the scan for this computer, once, about 10 s …"


def needs_compiling(network: str, device: str, training: bool = False) -> bool:
    """Whether a network has to compile a kernel before it can run; say `COMPILING` then."""
    from src_models import selective_scan

    on_cpu = src_models.card(network).uses_scan and device == "cpu"
    return on_cpu and selective_scan.needs_compiling(training)


def warm_up(network: str, device: str, training: bool = False) -> None:
    """Compile what `needs_compiling` asks for, or load it."""
    from src_models import selective_scan

    if src_models.card(network).uses_scan and device == "cpu":
        selective_scan.warm_up(training)


@contextmanager
def interruptible(network: nn.Module, stop: Stop) -> Iterator[None]:
    """Let `stop` end a forward pass between any two layers by raising `Cancelled`.

    A tile of a large image takes seconds on a laptop; a user who cancels should not wait for it.
    """

    def check(*_: Any) -> None:
        if stop():
            raise Cancelled

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [module.register_forward_pre_hook(check) for module in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
    """

    def __init__(self, network: nn.Module, device: str) -> None:
        self.network, self.device = network, device
        self._indices: tuple[int, ...] = ()
        self._features: dict[tuple[int, int], list[Tensor]] = {}

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
            ``(K, h, w)`` float32: one foreground probability, or one a class that sum to 1.
        """
        import torch

        with torch.inference_mode():
            if tile.ndim == 4 and self._indices:
                network: Any = self.network
                maps = [
                    self._encoded(k, number, pixels)
                    for k, pixels in zip(self._indices, tile, strict=True)
                ]
                logits = network.decode(*maps, tile.shape[-2:])
            else:
                logits = self.network(torch.from_numpy(tile)[None].to(self.device))
            logits = logits.float()
            values = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
            return np.asarray(values[0].cpu().numpy())

    def _encoded(self, index: int, number: int, pixels: np.ndarray) -> list[Tensor]:
        import torch

        if (index, number) in self._features:
            return self._features[index, number]
        network: Any = self.network
        maps: list[Tensor] = network.encode(torch.from_numpy(pixels)[None].to(self.device))
        held = sum(m.nbytes for kept in self._features.values() for m in kept)
        if held < KEPT_BYTES:
            self._features[index, number] = maps
        return maps
