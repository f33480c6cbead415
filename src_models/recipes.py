"""How the authors of a paper trained their network, where it differs from how this program does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A published way to train: SGD with Nesterov momentum, and images of changing size.

    Attributes
    ----------
    learning_rate, momentum, weight_decay : float
        Of SGD. The rate rises evenly to its peak in the middle of the run and falls again.
    slower : tuple of str
        Prefixes of the names of parameters that learn at a lower rate.
    slower_share : float
        Their rate, as a share of the others'.
    batch : int
        Images per step.
    sizes : tuple of int
        Each batch is resized to one of these sides in pixels, from the largest.
    rotation : float
        Images are turned by up to this angle in degrees.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    slower: tuple[str, ...]
    slower_share: float
    batch: int
    sizes: tuple[int, ...]
    rotation: float


# Given by the authors' code. It separates two groups of parameters by a name that matches none;
# the backbone's lower rate is what it says it wants.
M2SNET = Recipe(
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    slower=("backbone.",),
    slower_share=0.1,
    batch=16,
    sizes=(224, 256, 288, 320, 352),
    rotation=10.0,
)
