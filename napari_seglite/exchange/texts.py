"""What a package says to its readers: documentation, citations and a cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import src_models
from src_models import object_heads

from ..checkpoints import CheckpointInfo

# Side of each half of the cover.
_SIDE = 256
# Cited where the paper of a network has no address.
_BASIS = {
    "u2net-msac": (
        "Qin et al., U2-Net, Pattern Recognition, 2020, on which it is based",
        "10.1016/j.patcog.2020.107404",
    )
}


def citations(info: CheckpointInfo) -> list[dict[str, str]]:
    """Return the papers to cite, as the arguments of BioImage.IO's ``CiteEntry``."""
    card = src_models.card(info.network)
    if card.doi:
        return [{"text": card.paper, "doi": card.doi}]
    text, doi = _BASIS.get(info.network, ("", ""))
    return [{"text": f"{card.paper}; {text}", "doi": doi}] if doi else []


def output(info: CheckpointInfo) -> str:
    """Return what the output of a package is, in at most 128 characters."""
    if info.classes > 1:
        return "Probability of each class; the largest is the label"
    return "Probability of the foreground; 0.5 or more is the label 1"


def readme(info: CheckpointInfo) -> str:
    """Return the documentation of a package, Markdown."""
    card = src_models.card(info.network)
    head = {
        object_heads.BORDER: "the probability of a border between objects",
        object_heads.DISTANCE: "the distance to the border, 0 to 1",
        object_heads.OFFSET: "the offset to the centre of the object, -1 to 1",
    }.get(info.head, "")
    lines = [
        f"# {info.id}",
        "",
        info.description or f"A {card.title} trained with SegLite.",
        "",
        f"Network: {card.title}, {card.summary[0].lower()}{card.summary[1:]} {_cited(info)}",
        "",
        "Classes: " + ", ".join(f"{k} {name}" for k, name in enumerate(info.class_names)) + ".",
        output(info) + ".",
    ]
    if head:
        lines.append(f"The channels behind it are {head}.")
    lines += ["", f"Images: {_images(info)}"]
    if card.context_slices > 1:
        lines.append("Each slice is its own neighbour, so a stack is read slice by slice.")
    if info.note:
        lines += ["", f"Note: {info.note}"]
    lines += ["", "## Validation", ""]
    scores = {name: value for name, value in info.scores.items() if np.isfinite(value)}
    lines += [f"- {name}: {value:.4f}" for name, value in scores.items()] or [
        "No scores are recorded. Compare its result with labels of a few images of your own."
    ]
    return "\n".join(lines) + "\n"


def _cited(info: CheckpointInfo) -> str:
    card = src_models.card(info.network)
    return f"({card.paper}{f', doi {card.doi}' if card.doi else ''})."


def _images(info: CheckpointInfo) -> str:
    norm = info.normalisation
    if norm.mean:
        return "8 bits per channel; the channels are standardised."
    ends = f"the percentiles {norm.low:g} and {norm.high:g}"
    if info.in_channels > 1:
        return f"{info.in_channels} channels; the network scales them by {ends} of their mean."
    return f"grey; {ends} of the whole image become 0 and 1."


def write_cover(file: Path, pixels: np.ndarray, probability: np.ndarray) -> None:
    """Write a picture of an image and its result, two squares side by side.

    Parameters
    ----------
    file : Path
        A ``.png`` file.
    pixels : ndarray
        ``(C, h, w)``, h = w.
    probability : ndarray
        ``(h, w)``, 0 to 1.
    """
    from skimage.io import imsave
    from skimage.transform import resize

    shown = pixels if len(pixels) == 3 else np.repeat(pixels[:1], 3, axis=0)
    shown = shown.astype(np.float64)
    shown = (shown - shown.min()) / max(float(np.ptp(shown)), 1e-6)
    tinted = 0.5 * shown + 0.5 * np.array([1.0, 0.8, 0.1])[:, None, None] * probability
    both = [
        resize(half.transpose(1, 2, 0), (_SIDE, _SIDE), order=1, anti_aliasing=True)
        for half in (shown, tinted)
    ]
    picture = np.concatenate(both, axis=1).clip(0, 1)
    imsave(file, (255 * picture).round().astype(np.uint8), check_contrast=False)
