"""A first answer to a new task: a network's pixel readout, fitted to the annotated pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Cancelled
from ..images import TrainingImage
from ..runtime import Stop

if TYPE_CHECKING:
    import torch

    from .trainer import Trainer

# Windows that pixels are drawn from, and their side; pixels of a window and, beside those, of each
# class in it.
WINDOWS, SIDE, PIXELS, PER_CLASS = 8, 384, 1500, 700
# Iterations of L-BFGS between two looks at `stop`, and their number.
ITERATIONS, ROUNDS = 10, 8
PENALTY = 1e-3
# What remains of the network's own outputs, which mean nothing yet; it learns from there.
OWN_SHARE = 0.1


def fit_first_answer(
    trainer: Trainer, images: Sequence[TrainingImage], seed: int, stop: Stop
) -> None:
    """Fit the readout of a trainer's network, see `Trainer.read_pixels`.

    The perceptron is fitted to some thousand pixels by L-BFGS with a quadratic penalty; pixels
    count more the rarer their class is.

    Parameters
    ----------
    trainer : Trainer
        Gets the new weights.
    images : sequence of TrainingImage
        What to learn from.
    seed : int
        Of pixels and first weights; the same seed gives the same weights.
    stop : callable
        Once it returns True, `Cancelled` is raised.
    """
    import torch

    from src_models.pixel_features import PixelReadout

    readout = trainer.network.pixels
    assert isinstance(readout, PixelReadout)
    classes = trainer.info.classes
    values, labels = _pixels(trainer, readout, images, np.random.default_rng(seed), stop)
    mean, deviation = values.mean(0), values.std(0) + 1e-6
    kinds = max(2, classes)
    counts = torch.bincount(labels, minlength=kinds).clamp(min=1).float()
    weights = (counts.sum() / counts).sqrt()
    hidden, out = _perceptron((values - mean) / deviation, labels, classes, weights, seed, stop)
    with torch.no_grad():
        first = not readout.out.weight.any()
        readout.mean.copy_(mean)
        readout.deviation.copy_(deviation)
        for layer, (weight, bias) in ((readout.hidden, hidden), (readout.out, out)):
            assert layer.bias is not None
            layer.weight[: len(weight)] = weight[:, :, None, None].to(layer.weight)
            layer.bias[: len(bias)] = bias.to(layer.bias)
        if first:
            readout.share[:classes] = OWN_SHARE
    trainer.load_weights(trainer.network.state_dict())


def _pixels(
    trainer: Trainer,
    readout: torch.nn.Module,
    images: Sequence[TrainingImage],
    rng: np.random.Generator,
    stop: Stop,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the features ``(N, F)`` and labels of annotated pixels."""
    import torch

    info, features, labels = trainer.info, [], []
    first = info.in_channels * (info.context_slices // 2)
    spread = np.linspace(0, len(images) - 1, min(len(images), WINDOWS)).round().astype(int)
    for image in (images[k] for k in spread):
        if stop():
            raise Cancelled
        rows, columns = _window(image, rng)
        kinds = np.minimum(image.annotated[rows, columns], max(1, info.classes - 1)).ravel()
        counts = np.ones(kinds.size, bool)
        if image.weight is not None:
            counts = image.weight[rows, columns].ravel() > 0
        places = [np.flatnonzero(counts & (kinds == k)) for k in range(max(2, info.classes))]
        drawn = [_some(np.flatnonzero(counts), PIXELS, rng)]
        drawn += [_some(each, PER_CLASS, rng) for each in places]
        chosen = np.unique(np.concatenate(drawn))
        frame = image.frame[first : first + info.in_channels, rows, columns]
        with torch.no_grad():
            tensor = torch.from_numpy(np.ascontiguousarray(frame))[None].to(trainer.device)
            maps = readout.features(tensor)[0].flatten(1)  # type: ignore[operator]
            features.append(maps[:, torch.from_numpy(chosen).to(maps.device)].T.cpu())
        labels.append(torch.from_numpy(kinds[chosen].astype(np.int64)))
    return torch.cat(features), torch.cat(labels)


def _window(image: TrainingImage, rng: np.random.Generator) -> tuple[slice, slice]:
    """Return the window with most annotated objects of a few that are centred on such pixels."""
    height, width = image.labels.shape
    counted = image.labels if image.weight is None else image.weight
    middles = np.argwhere(image.annotated > 0)
    middles = middles if len(middles) else np.argwhere(counted >= 0)
    best, windows = -1, []
    for y, x in middles[rng.integers(len(middles), size=8)]:
        top = int(np.clip(y - SIDE // 2, 0, max(0, height - SIDE)))
        left = int(np.clip(x - SIDE // 2, 0, max(0, width - SIDE)))
        window = slice(top, top + SIDE), slice(left, left + SIDE)
        inside = int(np.count_nonzero(image.annotated[window]))
        if inside > best:
            best, windows = inside, [window]
    return windows[0]


def _some(places: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return places if len(places) <= count else rng.choice(places, count, replace=False)


def _perceptron(
    values: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    weights: torch.Tensor,
    seed: int,
    stop: Stop,
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return weight and bias of both layers, fitted to standardised features."""
    import torch
    import torch.nn.functional as F

    from src_models.pixel_features import HIDDEN

    draw, count = torch.Generator().manual_seed(seed), values.shape[1]
    hidden = torch.randn(HIDDEN, count, generator=draw) * count**-0.5
    out = torch.randn(classes, HIDDEN, generator=draw) * 0.5
    parameters = [hidden, torch.zeros(HIDDEN), out, torch.zeros(classes)]
    first, first_bias, last, last_bias = (p.requires_grad_() for p in parameters)
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )
    each = weights[labels] / weights[labels].sum()

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = F.linear(F.relu(F.linear(values, first, first_bias)), last, last_bias)
        if classes == 1:
            target = (labels > 0).float()
            errors = F.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
        else:
            errors = F.cross_entropy(logits, labels, reduction="none")
        total: torch.Tensor = (errors * each).sum() + PENALTY * (
            first.square().sum() + last.square().sum()
        )
        total.backward()  # type: ignore[no-untyped-call]
        return total

    for _ in range(ROUNDS):
        if stop():
            raise Cancelled
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    fitted = [p.detach() for p in parameters]
    return (fitted[0], fitted[1]), (fitted[2], fitted[3])
