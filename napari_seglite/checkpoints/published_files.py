"""Weights that the authors of a network published, imported as checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import src_models
from src_models import published

from ..errors import CheckpointError, reason
from ..images import Normalisation
from .card import CheckpointInfo
from .store import CheckpointStore

if TYPE_CHECKING:
    from torch import Tensor

# Mean and standard deviation of the colours of ImageNet, red first, of pixels from 0 to 1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LICENCE = "not stated in the file; ask the authors before you pass it on"
SEED = 0


@dataclass(frozen=True)
class PublishedKind:
    """A kind of files that authors published.

    Attributes
    ----------
    network : str
        The network that their weights are for.
    title : str
        What the weights are called.
    text : str
        A sentence for the user.
    normalised : str
        How sure the normalisation is: *given* by the authors' code, or *inferred*.
    citation : str
        Of the weights, where it is not that of the network.
    start_only : bool
        Whether the weights are those of the encoder alone.
    """

    network: str
    title: str
    text: str
    normalised: str = "given"
    citation: str = ""
    start_only: bool = False


PUBLISHED_KINDS = {
    "s-net": PublishedKind(
        "s-net", "S-Net", "The authors' weights, trained on images of 224 x 224 pixels."
    ),
    "m2snet": PublishedKind(
        "m2snet",
        "M2SNet or MSNet",
        "The authors' weights, trained on images of up to 352 x 352 pixels.",
    ),
    "unet-sharp": PublishedKind("unet-sharp", "UNet#", "The authors' weights.", "inferred"),
    "res2net-50": PublishedKind(
        "m2snet",
        "Res2Net-50, a start for M2SNet",
        "A start for M2SNet: Res2Net-50's weights, the rest untrained. Fine-tune it first.",
        citation="Gao et al., IEEE Transactions on Pattern Analysis and Machine Intelligence, "
        "2021, doi 10.1109/TPAMI.2019.2938758",
        start_only=True,
    ),
}


def import_published(
    store: CheckpointStore,
    source: str | Path,
    kind: str,
    name: str,
    *,
    class_names: Sequence[str] = (),
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> CheckpointInfo:
    """Add weights that a network's authors published to a store of checkpoints.

    Parameters
    ----------
    store : CheckpointStore
        Gets the checkpoint.
    source : str or Path
        A ``.pth``, ``.pt`` or ``.safetensors`` file with a state dict under the authors' names.
        Nothing in it is run.
    kind : str
        One of `PUBLISHED_KINDS`: ``"s-net"``, ``"m2snet"`` (also MSNet's), ``"unet-sharp"``, or
        ``"res2net-50"``. The last becomes a start for M2SNet: the layers behind the backbone are
        not trained, so it has to be fine-tuned before it segments.
    name : str
        Of the new checkpoint.
    class_names : sequence of str
        Background first; background and object if not given. Weights with several outputs need
        a name for each. The names of a start decide how many classes it has.
    mean, std : sequence of float
        Of each channel, for pixels from 0 to 1; those of ImageNet if not given.

    Returns
    -------
    CheckpointInfo
        The card of the new checkpoint.

    Raises
    ------
    CheckpointError
        If the file cannot be read or holds other weights, the name is taken, or classes or
        statistics do not fit.

    Examples
    --------
    >>> import_published(CheckpointStore(), "net.pth", "m2snet", "polyps")  # doctest: +SKIP
    """
    if kind not in PUBLISHED_KINDS:
        raise CheckpointError(
            f"There is no kind {kind!r:.100} of published weights; choose one of "
            f"{', '.join(PUBLISHED_KINDS)}."
        )
    store.check_name(name)
    source = Path(source)
    card = PUBLISHED_KINDS[kind]
    weights, sha256 = _read(source, kind)
    options = published.arguments(kind, weights)
    channels, outputs = options.pop("in_channels"), options.pop("classes", 0)
    names = tuple(class_names) or ("background", "object")
    if card.start_only:
        outputs, options = 1 if len(names) == 2 else len(names), {"preset": "base"}
    elif outputs > 1 and not class_names:
        raise CheckpointError(
            f"{source} holds weights with {outputs} outputs. Name as many classes, background "
            "first."
        )
    info = CheckpointInfo(
        id=name,
        network=card.network,
        in_channels=channels,
        classes=outputs,
        class_names=names,
        normalisation=_normalisation(channels, mean, std),
        description=card.text,
        settings={"seed": SEED} if card.start_only else {},
        options=options,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=_origin(card, source, sha256, given=bool(mean)),
        start_only=card.start_only,
    )
    return store.save(info, _complete(info, weights, source))


def _read(source: Path, kind: str) -> tuple[dict[str, Tensor], str]:
    """Return the renamed weights in a file, and its SHA-256."""
    from torch.random import fork_rng

    try:
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        found = published.read_weights(source)
        try:
            with fork_rng(devices=[]):  # what is built to compare must not advance the generator
                return published.convert(kind, found), sha256
        except ValueError as error:
            others = [k for k in published.recognised(found) if k in PUBLISHED_KINDS and k != kind]
            hint = f" They look like those of {others[0]}." if others else ""
            raise CheckpointError(f"{source}: {error}{hint}") from error
    except (OSError, ValueError, MemoryError) as error:
        raise CheckpointError(reason(error, source)) from error


def _normalisation(channels: int, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
    """Return the normalisation by given statistics, or else by those of ImageNet."""
    try:
        if mean or std:
            return Normalisation(mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD).with_channels(channels)


def _origin(card: PublishedKind, source: Path, sha256: str, given: bool) -> dict[str, str]:
    """Return what a card says about where weights come from."""
    network = src_models.card(card.network)
    return {
        "weights": card.title,
        "citation": card.citation or f"{network.paper}, doi {network.doi}",
        "licence": LICENCE,
        "file": source.name,
        "sha256": sha256,
        "normalisation": "given by the user" if given else card.normalised,
    }


def _complete(info: CheckpointInfo, weights: Mapping[str, Tensor], source: Path) -> dict[str, Any]:
    """Return all weights of a checkpoint's network; those that a start lacks come from a seed."""
    import torch

    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise CheckpointError(f"{source} holds weights that are NaN or infinite. Get it again.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = info.build()
    part = network.get_submodule("backbone") if info.start_only else network
    part.load_state_dict(weights)
    return network.state_dict()
