"""The weights and the input that the published networks' reference outputs were made with."""

import json
import zlib

import numpy as np
import torch


def weights(folder, network):
    """Build a published state dict."""
    found = {}
    for name, shape in json.loads((folder / f"{network}-parameters.json").read_text()).items():
        count = int(np.prod(shape))
        seed = zlib.crc32(("a:" + name).encode())
        v = np.random.RandomState(seed).standard_normal(count)
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(1)
            continue
        if name.endswith("running_var"):
            v = (1 + 0.5 * v * v) * (100000 if name.startswith("conv_") else 1)
        elif name.endswith("running_mean"):
            v = 0.1 * v
        elif name.endswith("A_logs"):
            v = np.tile(np.log(np.arange(1, 17)), count // 16) + 0.1 * v
        elif len(shape) <= 1:
            v = 0.9 + 0.1 * v if name.endswith(("weight", "Ds")) else 0.1 * v
        else:
            v = v * np.sqrt(2 / np.prod(shape[1:]))
        found[name] = torch.tensor(v.reshape(shape), dtype=torch.float32)
    return found


def image():
    """Return the input, ``(1, 3, 96, 64)``."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(96), np.arange(64), indexing="ij")
    pixels = np.sin(0.31 * y + 0.17 * x + c) * np.cos(0.05 * x * (c + 1) - 0.02 * y)
    return torch.tensor(pixels[None], dtype=torch.float32)
