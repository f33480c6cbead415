"""Train a nuclei checkpoint with an object head on the CC0 nuclei, on a GPU within minutes.

    python scripts/train_objects.py DATA/nuclei OUTPUT --head distance --minutes 8

DATA/nuclei holds ``train/images``, ``train/labels`` and ``train.csv`` with the modality of each
image. All images lie in the GPU's memory, where patches are cut, turned, scaled and recoloured, so
that the GPU never waits. One image in ten is held back for choosing thresholds (`held_out`).

Only torch, NumPy, SciPy and scikit-image are needed, so that it runs where napari is not installed.
The weights go to ``OUTPUT/NAME.npz`` in half precision; ``ship_objects.py`` makes a checkpoint of
them.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from skimage.io import imread
from torch import Tensor, nn

import src_models
from src_models import losses, object_heads

# Histology and bright field are a fifth of the images, and harder: they are drawn more often.
SHARES = {"fluorescence": 1.0, "histology": 3.0, "brightfield": 3.0}
PERCENTILES = (1.0, 99.8)  # of `Normalisation`
# Red, green, blue of haematoxylin, eosin and a residual (Ruifrok and Johnston, 2001).
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
SIZES = (0.5, 2.0)
# What --preset sets.
OPTIONS = {"unet-sharp": "preset", "m2snet": "preset", "u2net-msac": "variant"}


class Example(NamedTuple):
    """An image with what is learnt of it, ``(C, H, W)`` and ``(1 + head, H, W)``."""

    image: np.ndarray
    truth: np.ndarray
    centres: np.ndarray
    borders: np.ndarray
    share: float


def rows_of(folder: Path, held_out: bool) -> list[dict[str, str]]:
    """Return the training images, or those that are held back: every tenth of each modality."""
    with (folder / "train.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["modality"], row["name"]))
    return [row for k, row in enumerate(rows) if (k % 10 == 5) == held_out]


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Return an image as colours ``(3, H, W)``, as a checkpoint's normalisation makes them."""
    colours = pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)
    low, high = np.percentile(colours.mean(-1, dtype=np.float64), PERCENTILES)
    scaled = np.clip((colours.astype(np.float32) - low) / max(high - low, 1e-6), -1, 3)
    return np.asarray(np.moveaxis(scaled, -1, 0), np.float16)


def read(folder: Path, head: str, row: dict[str, str]) -> Example:
    """Read an image and compute its targets."""
    name = row["name"]
    image = normalised(imread(folder / "train" / "images" / f"{name}.png"))
    labels = imread(folder / "train" / "labels" / f"{name}.tif").astype(np.int64)
    wanted = object_heads.targets(head, labels) if head else np.zeros((0, *labels.shape))
    truth = np.concatenate([(labels > 0)[None], wanted]).astype(np.float16)
    touching = object_heads.touching_borders(labels)
    share = SHARES[row["modality"]] * max(1.0, labels.size / 256**2) ** 0.5
    return Example(image, truth, np.argwhere(labels > 0), np.argwhere(touching), share)


# ---------------------------------------------------------------------- patches
class Patches:
    """Draws augmented patches on the GPU.

    Parameters
    ----------
    examples : list of Example
        All images.
    head : str
        Whose targets they hold; offsets turn with the patch.
    size : int
        Height and width of a patch.
    seed : int
        Of every choice.
    device : str
        Where to compute.
    """

    def __init__(
        self, examples: list[Example], head: str, size: int, seed: int, device: str
    ) -> None:
        self.size, self.head, self.device = size, head, device
        self.rng = np.random.default_rng(seed)
        self.random = torch.Generator(device).manual_seed(seed)
        self.shares = np.array([example.share for example in examples])
        self.shares /= self.shares.sum()
        self.examples = examples
        self.levels = [self._pyramid(example) for example in examples]
        steps = (torch.arange(size, device=device) + 0.5) - size / 2
        self.grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)  # y, x
        # Large enough for a patch that is turned and, by less than a level, shrunk.
        self.window = 16 * math.ceil(size * 2.3 / 16)
        self.stains = torch.tensor(STAINS, device=device)
        self.unmixing = torch.tensor(np.linalg.inv(STAINS), dtype=torch.float32, device=device)

    def _pyramid(self, example: Example) -> list[Tensor]:
        """Return image and truth in one tensor, whole and at half the resolution."""
        image, truth = (torch.from_numpy(each).to(self.device) for each in example[:2])
        half = F.avg_pool2d(image[None].float(), 2, ceil_mode=True)[0].half()
        return [torch.cat([image, truth]), torch.cat([half, truth[:, ::2, ::2]])]

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Return frames and truth of some patches.

        Each is cut as a window, mirrored at the borders of its image; then all are turned and
        scaled together, so that the GPU waits for no transfer but one.
        """
        chosen = self.rng.choice(len(self.shares), count, p=self.shares)
        drawn = [self._draw(int(number)) for number in chosen]
        indices = torch.from_numpy(np.stack([each[1] for each in drawn])).to(self.device)
        numbers = np.stack([np.r_[each[2].ravel(), each[3], each[4].ravel()] for each in drawn])
        sent = torch.from_numpy(numbers.astype(np.float32)).to(self.device)
        windows = torch.stack(
            [
                source[:, rows[:, None], columns]
                for (source, *_), (rows, columns) in zip(drawn, indices, strict=True)
            ]
        ).float()
        matrices, centres = sent[:, :4].reshape(-1, 2, 2), sent[:, 4:6]
        place = torch.einsum("hwj,nij->nhwi", self.grid, matrices) + centres[:, None, None]
        normal = (place * (2 / self.window)).flip(-1)
        frames = F.grid_sample(windows[:, :3], normal, "bilinear", "border", False)
        truth = F.grid_sample(windows[:, 3:], normal, "nearest", "border", False)
        if self.head == object_heads.OFFSET:
            back = sent[:, 6:10].reshape(-1, 2, 2)
            turned = torch.einsum("nij,njhw->nihw", back, truth[:, 1:])
            truth = torch.cat([truth[:, :1], turned], 1)
        return self._recoloured(frames), truth

    def _draw(self, number: int) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a source, a window's rows and columns, and how the patch lies in it.

        That is: the matrix from patch to window, the patch's centre from the window's, and the
        matrix that turns offsets with the patch.
        """
        rng, example = self.rng, self.examples[number]
        low, high = map(math.log, SIZES)
        scale = math.exp(rng.uniform(low, high)) if rng.random() < 0.6 else rng.uniform(0.9, 1.1)
        angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else math.pi / 2 * rng.integers(4)
        squeeze = math.exp(rng.uniform(-0.12, 0.12))
        mirror = rng.choice((-1.0, 1.0))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        level = int(scale < 0.71)
        # Lengths in the patch are `scale` times those in the image.
        matrix = turn @ np.diag([squeeze * mirror, 1 / squeeze]) / (scale * 2**level)
        centre = self._centre(example, self.size / 2 / scale) / 2**level
        source = self.levels[number][level]
        corner = np.floor(centre).astype(int) - self.window // 2
        lengths = source.shape[1:]
        indices = np.stack(
            [_mirrored(c, self.window, n) for c, n in zip(corner, lengths, strict=True)]
        )
        back = np.linalg.inv(matrix) / (scale * 2**level)
        return source, indices, matrix, centre - corner - self.window / 2, back

    def _centre(self, example: Example, half: float) -> np.ndarray:
        """Return a pixel: anywhere, in an object, or where two touch; half a patch inside."""
        rng, shape = self.rng, np.array(example.image.shape[1:])
        kind = rng.random()
        places = example.borders if kind < 0.35 else example.centres
        if kind > 0.75 or not len(places):
            place = rng.uniform(0, shape)
        else:
            place = places[rng.integers(len(places))] + rng.uniform(-half / 2, half / 2, 2)
        inside = np.minimum(half, shape / 2)
        return np.clip(place, inside, shape - inside)

    def _uniform(self, count: int, low: float, high: float, channels: int = 1) -> Tensor:
        drawn = torch.rand((count, channels, 1, 1), generator=self.random, device=self.device)
        return low + (high - low) * drawn

    def _chosen(self, count: int, share: float) -> Tensor:
        return self._uniform(count, 0, 1) < share

    def _recoloured(self, x: Tensor) -> Tensor:
        """Change stains, colours, contrast, brightness, sharpness and noise."""
        n = len(x)
        stained = self._stained(x)
        x = torch.where(self._chosen(n, 0.5), stained, x)
        # Each colour by itself, or a mixture of all.
        x = torch.where(
            self._chosen(n, 0.3),
            x * self._uniform(n, 0.8, 1.2, 3) + self._uniform(n, -0.1, 0.1, 3),
            x,
        )
        mixture = torch.eye(3, device=self.device) + 0.15 * torch.randn(
            (n, 3, 3), generator=self.random, device=self.device
        )
        mixture = mixture / mixture.sum(2, keepdim=True).clamp(min=0.3)
        x = torch.where(self._chosen(n, 0.2), torch.einsum("nij,njhw->nihw", mixture, x), x)
        x = torch.where(self._chosen(n, 0.15), x.mean(1, keepdim=True).expand_as(x), x)
        x = torch.where(self._chosen(n, 0.08), 1 - x, x)
        gamma = self._uniform(n, -0.5, 0.5).exp()
        curved = x.clamp(min=0) ** gamma + x.clamp(max=0)
        x = torch.where(self._chosen(n, 0.4), curved, x)
        x = x * self._uniform(n, 0.65, 1.4) + self._uniform(n, -0.15, 0.15)
        x = torch.where(self._chosen(n, 0.2), self._blurred(x), x)
        noise = torch.randn(x.shape, generator=self.random, device=self.device)
        noise = noise * self._uniform(n, 0, 0.12)
        return torch.where(self._chosen(n, 0.35), x + noise, x).clamp(-1, 3)

    def _stained(self, x: Tensor) -> Tensor:
        """Change the amounts of the stains of a bright image, in optical density."""
        n = len(x)
        density = -x.clamp(0.02, 1.5).log()
        amounts = torch.einsum("nchw,ck->nkhw", density, self.unmixing)
        amounts = amounts * self._uniform(n, 0.6, 1.5, 3) + self._uniform(n, -0.08, 0.08, 3)
        jitter = 0.06 * torch.randn((n, 3, 3), generator=self.random, device=self.device)
        mixed = torch.einsum("nkhw,nkc->nchw", amounts, self.stains + jitter)
        bright = x.mean((1, 2, 3), keepdim=True) > 0.45
        return torch.where(bright, (-mixed.clamp(-0.7, 4)).exp(), x)

    def _blurred(self, x: Tensor) -> Tensor:
        sigma = float(self.rng.uniform(0.5, 2))
        reach = math.ceil(3 * sigma)
        steps = torch.arange(-reach, reach + 1, device=self.device)
        kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
        kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
        padded = F.pad(x, (reach,) * 4, mode="reflect")
        wide = F.conv2d(padded, kernel, groups=3)
        return F.conv2d(wide, kernel.transpose(2, 3), groups=3)


def _mirrored(start: int, count: int, length: int) -> np.ndarray:
    """Return indices from `start`, mirrored at the ends of an axis."""
    folded = np.abs(np.arange(start, start + count)) % max(2 * (length - 1), 1)
    return np.where(folded >= length, 2 * (length - 1) - folded, folded)


# ---------------------------------------------------------------------- training
def begin_from(network: nn.Module, file: Path) -> None:
    """Take over the weights of a file as far as their shapes agree, and say how many those are."""
    own, taken = network.state_dict(), 0
    with np.load(file) as arrays:
        for name, value in own.items():
            if name in arrays and arrays[name].shape == tuple(value.shape):
                own[name], taken = torch.from_numpy(arrays[name]).to(value.dtype), taken + 1
    network.load_state_dict(own)
    print(f"{taken} of {len(own)} weights from {file.name}")


class Step:
    """An update of the weights: on a GPU recorded once and replayed, as launching takes longer.

    Parameters
    ----------
    network : Module
        In training.
    arguments : Namespace
        Of the command line.
    """

    WARM_UP = 11  # steps before recording: cuDNN chooses its algorithms in them

    def __init__(self, network: nn.Module, arguments: argparse.Namespace) -> None:
        self.network, self.arguments = network, arguments
        self.device = next(network.parameters()).device.type
        on_gpu = self.device == "cuda"
        rate = torch.tensor(arguments.rate, device=self.device) if on_gpu else arguments.rate
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=rate, weight_decay=1e-2, capturable=on_gpu
        )
        self.graph: torch.cuda.CUDAGraph | None = None
        self.side = torch.cuda.Stream() if on_gpu else None
        self.steps = 0

    def __call__(self, x: Tensor, truth: Tensor, rate: float) -> Tensor:
        """Return the loss, a tensor that the next step overwrites."""
        self._set(rate)
        self.steps += 1
        if self.side is None or self.steps < self.WARM_UP:
            return self._on_side(x, truth) if self.side else self._update(x, truth)
        if self.graph is None:
            self.inputs = x.clone(), truth.clone()
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.loss = self._update(*self.inputs)
        for held, new in zip(self.inputs, (x, truth), strict=True):
            held.copy_(new)
        self.graph.replay()
        return self.loss

    def _set(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _on_side(self, x: Tensor, truth: Tensor) -> Tensor:
        """Update on a stream of its own, as recording wants of the steps before it."""
        assert self.side is not None
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            loss = self._update(x, truth)
        torch.cuda.current_stream().wait_stream(self.side)
        return loss

    def _update(self, x: Tensor, truth: Tensor) -> Tensor:
        arguments = self.arguments
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            labels, wanted = truth[:, 0].long(), truth[:, 1:] if arguments.head else None
            if arguments.level:
                loss = losses.bce_dice(self.network(x), labels)
            else:
                loss = src_models.training_loss(
                    self.network, arguments.network, x, labels, None, arguments.head, wanted
                )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        return loss.detach()


def created(arguments: argparse.Namespace) -> nn.Module:
    """Return the network, with the weights to start from if there are any."""
    options = src_models.card(arguments.network).first_options
    if kind := OPTIONS.get(arguments.network):
        options[kind] = arguments.preset
    outputs = 1 + object_heads.channels(arguments.head)
    network = src_models.create(arguments.network, 3, outputs, **options)
    if arguments.level:
        network.level = arguments.level
    if arguments.start:
        begin_from(network, arguments.start)
    return network


def train(arguments: argparse.Namespace) -> None:
    """Train until the time is over, and save the running average of the weights."""
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    rows = rows_of(arguments.data, held_out=False)[:: arguments.every]
    with ProcessPoolExecutor(arguments.workers) as pool:
        reading = partial(read, arguments.data, arguments.head)
        examples = list(pool.map(reading, rows, chunksize=8))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    patches = Patches(examples, arguments.head, arguments.patch, arguments.seed, device)
    network = created(arguments).to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    weights = [value for value in network.state_dict().values() if value.is_floating_point()]
    mean_weights = [value.detach().clone() for value in weights]
    step = Step(network, arguments)
    started, steps, seconds = time.monotonic(), 0, 60 * arguments.minutes
    total = torch.zeros((), device=device)
    while (share := max((time.monotonic() - started) / seconds, steps / arguments.steps)) < 1:
        warm = min(1.0, (steps + 1) / 200)
        cosine = (1 + math.cos(math.pi * share)) / 2
        x, truth = patches.batch(arguments.batch)
        x = x.contiguous(memory_format=torch.channels_last)
        loss = step(x, truth, arguments.rate * warm * (0.005 + 0.995 * cosine))
        steps, total = steps + 1, total + loss
        keep = min(0.999, (1 + steps) / (10 + steps))
        with torch.no_grad():
            torch._foreach_lerp_(mean_weights, weights, 1 - keep)
        if steps % 200 == 0:
            mean, total = float(total) / 200, torch.zeros((), device=device)
            if not math.isfinite(mean):
                raise SystemExit(f"the loss is {mean} after {steps} steps")
            print(f"{time.monotonic() - started:6.0f} s {steps:6d} loss {mean:.4f}", flush=True)
    means = iter(mean_weights)
    arrays = {
        name: (next(means).half() if value.is_floating_point() else value).cpu().numpy()
        for name, value in network.state_dict().items()
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output / f"{arguments.name}.npz", **arrays)
    print(f"{arguments.name}: {steps} steps of {arguments.batch} patches")


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--name", default="objects")
    parser.add_argument("--network", default="unet-sharp")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--head", default="distance", choices=("", *object_heads.NAMES))
    parser.add_argument("--level", type=int, help="train only what this pruning level needs")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--start", type=Path, help="weights as this script saves them")
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--every", type=int, default=1, help="of the images, to try the script")
    parser.add_argument("--seed", type=int, default=7)
    return parser


if __name__ == "__main__":
    train(parser().parse_args())
