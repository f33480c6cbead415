"""The network of a checkpoint as other programs run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import src_models
from src_models import object_heads

from ..errors import SegliteError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..checkpoints import CheckpointInfo, CheckpointStore

# Height and width of the traced image and of the checked ones, in divisors of the network.
TRACED, CHECKED = (5, 7), ((3, 4), (9, 5), (6, 6))


@dataclass(frozen=True)
class ExportedNetwork:
    """A network with what other programs have to know about it.

    Attributes
    ----------
    info : CheckpointInfo
        Card of its checkpoint.
    trained : Module
        With the weights of the checkpoint, in evaluation mode.
    module : Module
        The same function with fewer operations, an `src_models.exported.Exported`.
    percentiles : tuple of float or None
        Those that `module` normalises by; None if it takes normalised images.
    activation : tuple of str
        Functions that `module` applies to each output channel; empty for logits.
    """

    info: CheckpointInfo
    trained: nn.Module
    module: nn.Module
    percentiles: tuple[float, ...] | None = None
    activation: tuple[str, ...] = ()

    @property
    def divisor(self) -> int:
        """Of which height and width of an image must be multiples."""
        network: Any = self.trained
        return int(network.network.divisor)

    def example(self, size: Sequence[int] = TRACED) -> Tensor:
        """Return random pixels ``(1, C, h, w)``; the size counts in divisors."""
        import torch

        shape = (1, self.info.in_channels, *(side * self.divisor for side in size))
        pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        # Raw intensities, where the network normalises them.
        return 1000 + 200 * pixels if self.percentiles else pixels


def exported_network(
    store: CheckpointStore,
    name: str,
    *,
    percentiles: bool = False,
    activation: bool = False,
) -> ExportedNetwork:
    """Load the network of a checkpoint for other programs.

    Parameters
    ----------
    store : CheckpointStore
        Holds the checkpoint.
    name : str
        Its id.
    percentiles : bool
        Whether the network normalises images itself, by their percentiles.
    activation : bool
        Whether it returns probabilities instead of logits.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it is damaged.
    SegliteError
        If its network cannot be exported.
    """
    from src_models.exported import Exported
    from src_models.folding import fold

    info, network = store.load(name)
    if not src_models.card(info.network).trainable:
        raise SegliteError(f"{info.id} is a model of another program. Pass on its own file.")
    if info.volumetric:
        raise SegliteError(f"{info.id} segments volumes. Only networks for images can be exported.")
    if info.start_only:
        raise SegliteError(f"{info.id} is a start for fine-tuning and does not segment yet.")
    if not isinstance(getattr(network, "divisor", None), int):
        raise SegliteError(f"{info.network} does not say which sizes of images it takes.")
    norm = info.normalisation
    levels = (norm.low, norm.high, norm.clip_low, norm.clip_high) if percentiles else None
    functions = activations(info) if activation else ()
    trained = Exported(network.eval(), levels, functions).eval()
    folded = Exported(fold(network), levels, functions).eval()
    return ExportedNetwork(info, trained, folded, levels, functions)


def activations(info: CheckpointInfo) -> tuple[str, ...]:
    """Return the function that turns the logits of each output channel into its values."""
    classes = ("sigmoid",) if info.classes == 1 else ("softmax",) * info.classes
    head = "tanh" if info.head == object_heads.OFFSET else "sigmoid"
    return (*classes, *(head,) * info.head_channels)
