"""A network as a function of NumPy arrays that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled

if TYPE_CHECKING:
    from torch import nn

Stop = Callable[[], bool]


def never() -> bool:
    """Stand in for a stop button nobody can press."""
    return False


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


def probabilities(network: nn.Module, frame: np.ndarray, device: str) -> np.ndarray:
    """Run a network on ``(C, H, W)`` float32.

    Returns
    -------
    ndarray
        ``(K, H, W)`` float32: one foreground probability, or one a class that sum to 1.
    """
    import torch

    with torch.inference_mode():
        batch = torch.from_numpy(frame)[None].to(device)
        logits = network(batch).float()
        values = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
        return np.asarray(values[0].cpu().numpy())
