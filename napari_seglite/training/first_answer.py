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

    from src_models.pixel_features import PixelReadout

    from .trainer import Trainer

# Images that pixels are drawn from at most, one window of each, and the area of all windows.
WINDOWS, AREA = 8, 2**20
# Pixels of all windows together and, beside those, of each class.
PIXELS, PER_CLASS = 48_000, 12_000
# Exponent of a class's weight, the inverse of its share: whole weights, 1, would give rare classes
# more pixels than they have.
RARITY = 0.1
# Iterations of L-BFGS between two looks at `stop`, and their number.
ITERATIONS, ROUNDS = 10, 4
PENALTY = 3e-4
# How far contrast and brightness of a copy differ from its window's at most: the logarithm of a
# factor, and a share of its deviation. Another image differs from these by as much.
CONTRAST, BRIGHTNESS = 0.3, 0.3
# What remains of the network's own outputs, which mean nothing yet; it learns from there.
OWN_SHARE = 0.1


def fit_first_answer(
    trainer: Trainer, images: Sequence[TrainingImage], seed: int, stop: Stop
) -> None:
    """Fit the readout of a trainer's network, see `Trainer.read_pixels`.

    The perceptron is fitted to tens of thousands of pixels by L-BFGS with a quadratic penalty;
    pixels count somewhat more the rarer their class is. Each window is seen twice, the second time
    with another contrast and brightness.

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
    kinds = max(2, classes)
    counts = torch.bincount(labels, minlength=kinds).clamp(min=1).float()
    weights = (counts.sum() / counts) ** RARITY
    # The penalty holds small what is multiplied by little.
    expected = readout.expected
    (weight, bias), out = _perceptron(values * expected, labels, classes, weights, seed, stop)
    hidden = weight * expected, bias
    with torch.no_grad():
        first = not readout.out.weight.any()
        for layer, (weight, bias) in ((readout.hidden, hidden), (readout.out, out)):
            assert layer.bias is not None
            layer.weight[: len(weight)] = weight[:, :, None, None].to(layer.weight)
            layer.bias[: len(bias)] = bias.to(layer.bias)
        if first:
            readout.share[:classes] = OWN_SHARE
    trainer.load_weights(trainer.network.state_dict())


def _pixels(
    trainer: Trainer,
    readout: PixelReadout,
    images: Sequence[TrainingImage],
    rng: np.random.Generator,
    stop: Stop,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the features ``(N, F)`` and labels of annotated pixels."""
    import torch

    info, device = trainer.info, trainer.device
    first = info.in_channels * (info.context_slices // 2)
    number = min(len(images), WINDOWS)
    side = int((AREA / number) ** 0.5)
    some, each = PIXELS // (2 * number), PER_CLASS // (2 * number)
    spread = np.linspace(0, len(images) - 1, number).round().astype(int)
    tensors, chosen, labels = [], [], []
    for image in (images[k] for k in spread):
        rows, columns = _window(image, side, rng)
        kinds = np.minimum(image.annotated[rows, columns], max(1, info.classes - 1)).ravel()
        counts = np.ones(kinds.size, bool)
        if image.weight is not None:
            counts = image.weight[rows, columns].ravel() > 0
        every = np.flatnonzero(counts)
        of_kind = [every[kinds[every] == k] for k in range(max(2, info.classes))]
        frame = image.frame[first : first + info.in_channels, rows, columns]
        for seen in (np.ascontiguousarray(frame), _changed(frame, rng)):
            drawn = [_some(every, some, rng)]
            drawn += [_some(found, each, rng) for found in of_kind]
            places = np.unique(np.concatenate(drawn))
            tensors.append(torch.from_numpy(seen)[None])
            chosen.append(torch.from_numpy(places))
            labels.append(torch.from_numpy(kinds[places].astype(np.int64)))
    features = []
    with torch.no_grad():
        readout.standardise(tensor.to(device) for tensor in tensors)
        for tensor, which in zip(tensors, chosen, strict=True):
            if stop():
                raise Cancelled
            maps = readout.features(tensor.to(device))[0].flatten(1)
            features.append(maps[:, which.to(device)].T.cpu())
    return torch.cat(features), torch.cat(labels)


def _window(image: TrainingImage, side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Return the window with most annotated objects of a few that are centred on such pixels."""
    height, width = image.labels.shape
    counted = image.labels if image.weight is None else image.weight
    middles = np.argwhere(image.annotated > 0)
    middles = middles if len(middles) else np.argwhere(counted >= 0)
    best, windows = -1, []
    for y, x in middles[rng.integers(len(middles), size=8)]:
        top = int(np.clip(y - side // 2, 0, max(0, height - side)))
        left = int(np.clip(x - side // 2, 0, max(0, width - side)))
        window = slice(top, top + side), slice(left, left + side)
        inside = int(np.count_nonzero(image.annotated[window]))
        if inside > best:
            best, windows = inside, [window]
    return windows[0]


def _changed(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a copy ``(C, H, W)`` with another contrast and brightness."""
    contrast = np.exp(rng.uniform(-CONTRAST, CONTRAST))
    brightness = rng.uniform(-BRIGHTNESS, BRIGHTNESS) * frame.std()
    mean = frame.mean()
    changed: np.ndarray = (frame - mean) * contrast + mean + brightness
    return changed.astype(np.float32)


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
