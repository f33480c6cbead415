"""A network as a function of NumPy arrays that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import src_models

from ..errors import Cancelled

if TYPE_CHECKING:
    from torch import nn

Stop = Callable[[], bool]


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
