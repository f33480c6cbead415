"""Files as the authors of UNet# save them, with random weights."""

import re

import torch

import src_models


def authors_names(weights):
    """Return UNet#'s weights under the names of the authors' code."""
    rules = (
        (r"^nodes\.(\d_\d)\.([01])\.0\.", lambda m: f"conv{m[1]}.conv{int(m[2]) + 1}."),
        (r"^nodes\.(\d_\d)\.([01])\.1\.", lambda m: f"conv{m[1]}.bn{int(m[2]) + 1}."),
        (r"^row_heads\.(\d)\.", lambda m: f"final{int(m[1]) + 1}."),
        (r"^decoder_heads\.(\d)\.", lambda m: f"final{int(m[1]) + 5}."),
    )
    named = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if not name.startswith("guide_"):
            named[name] = value
    return named


def unet_sharp(path, classes=1, channels=3, **changes):
    """Save a small UNet# as its authors do; returns the network."""
    torch.manual_seed(1)
    network = src_models.create(
        "unet-sharp", channels, classes, preset="tiny", align_corners=True
    ).eval()
    for name, buffer in network.named_buffers():  # statistics that say something
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    weights = {f"module.{name}": v for name, v in authors_names(network.state_dict()).items()}
    for name, value in changes.items():
        weights[name.replace("__", ".")] = value
    torch.save(
        {"epoch": 3, "state_dict": {k: v for k, v in weights.items() if v is not None}}, path
    )
    return network
