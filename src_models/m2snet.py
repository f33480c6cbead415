"""M2SNet: multi-scale in multi-scale subtraction.

Zhao et al., arXiv 2303.10894; single-scale MSNet, MICCAI 2021. All of it is *given* by the
paper and its published code, unless marked *ours*.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNormReLU, initialise, pad_to_multiple, upsample_to
from .res2net import PLANES, Res2Net50, widths

CHANNELS = 64
# Planes of the backbone's first layer.
PRESETS = {"base": PLANES, "light": 16}
# Subtraction units of each order.
UNITS = (4, 3, 2, 1)


def _cbr(inputs: int = CHANNELS) -> ConvNormReLU:
    return ConvNormReLU(inputs, CHANNELS, bias=True)


class OnesFilter(nn.Module):
    """The fixed all-ones filter of k x k pixels over all channels, batch norm and ReLU.

    *Ours*: all output channels of such a convolution are equal, so the map is computed once, as
    the sum over channels and then over the window. Only the norm has parameters.

    Parameters
    ----------
    size : int
        k.
    places : int
        Where the filter is used, if each place keeps running statistics of its own; else 0. They
        hold for all channels, which are equal.
    """

    means: Tensor
    variances: Tensor

    def __init__(self, size: int, places: int = 0) -> None:
        super().__init__()
        self.size, self.own = size, places > 0
        if places:
            self.register_buffer("means", torch.zeros(places))
            self.register_buffer("variances", torch.full((places,), float(CHANNELS * size**2)))
        self.norm = nn.BatchNorm2d(CHANNELS)
        assert self.norm.running_var is not None
        self.norm.running_var.fill_(CHANNELS * size**2)  # of a sum over unit-variance inputs

    def forward(self, x: Tensor, place: int = 0) -> Tensor:
        """Map ``(B, 64, H, W)`` to the same shape, at a place in the network."""
        # Sums over 1,600 numbers overflow half precision, so they leave autocast here.
        with torch.autocast(x.device.type, enabled=False):
            total = x.float().sum(1, keepdim=True)
            box = F.avg_pool2d(total, self.size, 1, self.size // 2) * self.size**2
            if self.own and self.norm.training:
                self._note(box.detach(), place)
            return F.relu(self._normalised(box.expand_as(x), place)).to(x.dtype)

    def _note(self, box: Tensor, place: int) -> None:
        """Take the statistics of a batch into the running ones of a place."""
        momentum = self.norm.momentum
        assert momentum is not None
        variance, mean = torch.var_mean(box)
        self.means[place].lerp_(mean, momentum)
        self.variances[place].lerp_(variance, momentum)

    def _normalised(self, x: Tensor, place: int) -> Tensor:
        norm = self.norm
        of_place = self.own and not norm.training
        if not of_place and norm.weight.dtype == x.dtype:
            normalised: Tensor = norm(x)
            return normalised
        mean, variance = norm.running_mean, norm.running_var
        if of_place:
            mean, variance = (v[place].expand(CHANNELS) for v in (self.means, self.variances))
        assert mean is not None
        assert variance is not None
        return F.batch_norm(
            x,
            mean.float(),
            variance.float(),
            norm.weight.float(),
            norm.bias.float(),
            eps=norm.eps,
        )


class Subtraction(nn.Module):
    """Multi-scale subtraction unit: ``cbr(|a - b| + |F3(a) - F3(b)| + |F5(a) - F5(b)|)``."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = _cbr()

    def forward(self, a: Tensor, b: Tensor, filters: nn.ModuleList, place: int = 0) -> Tensor:
        """Subtract two feature maps.

        Parameters
        ----------
        a : Tensor
            ``(B, 64, h, w)``, the coarser map.
        b : Tensor
            ``(B, 64, H, W)``, the finer one.
        filters : ModuleList
            The fixed filters, which all units of the network share.
        place : int
            Of this unit among all.

        Returns
        -------
        Tensor
            ``(B, 64, H, W)``.
        """
        a = upsample_to(a, b)
        gap = (a - b).abs()
        for ones in filters:
            gap = gap + (ones(a, 2 * place) - ones(b, 2 * place + 1)).abs()
        mixed: Tensor = self.mix(gap)
        return mixed


class M2SNet(nn.Module):
    """M2SNet, 27,692,585 parameters at 3 channels and 1 class.

    Parameters
    ----------
    in_channels : int
        Channels of the image; changes the stem alone.
    classes : int
        Output channels.
    multi_scale : bool
        Without it the units have no fixed filters: that is MSNet, of 27,692,329 parameters.
    preset : str
        ``"base"``, or ``"light"`` (*ours*): a backbone of a quarter of the width, 3.0 M parameters
        in all.
    own_statistics : bool
        Whether each unit keeps running statistics of its own for the norms of the fixed filters,
        whose sums differ a thousandfold between units (*ours*). The published network shares them,
        so that what it predicts differs from what it learnt. Training is the same.

    Raises
    ------
    ValueError
        If there is no such preset.
    """

    divisor = 32

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 1,
        multi_scale: bool = True,
        preset: str = "base",
        own_statistics: bool = False,
    ) -> None:
        super().__init__()
        if preset not in PRESETS:
            raise ValueError(f"No preset {preset!r} of M2SNet; choose {' or '.join(PRESETS)}.")
        planes = PRESETS[preset]
        self.backbone = Res2Net50(in_channels, planes)
        self.reduce = nn.ModuleList(_cbr(width) for width in widths(planes)[1:])  # x2 to x5
        places = 2 * sum(UNITS) if own_statistics else 0
        self.filters = nn.ModuleList(OnesFilter(size, places) for size in (3, 5) if multi_scale)
        # units[order][k] subtracts neighbours k and k + 1 of the order before, the finest first.
        self.units = nn.ModuleList(
            nn.ModuleList(Subtraction() for _ in range(count)) for count in UNITS
        )
        self.last = _cbr()
        self.levels = nn.ModuleList(_cbr() for _ in range(3))
        self.top = _cbr(widths(planes)[-1])
        self.outputs = nn.ModuleList(_cbr() for _ in range(3))
        self.head = nn.Conv2d(CHANNELS, classes, 3, padding=1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to logits ``(B, classes, H, W)``."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, (self.divisor, self.divisor))
        features = self.backbone(x)
        reduced = [reduce(f) for reduce, f in zip(self.reduce, features[1:], strict=True)]
        orders = self._subtract([features[0], *reduced])

        # Input of each level of the decoder: the sum of the differences of all orders at its scale.
        sums = [torch.stack([order[k] for order in orders[: 4 - k]]).sum(0) for k in range(4)]
        levels = [level(total) for level, total in zip(self.levels, sums[:3], strict=True)]
        y = self.top(features[-1])
        for output, level in zip(self.outputs, (sums[3], levels[2], levels[1]), strict=True):
            y = output(upsample_to(y, level) + level)
        y = self.head(upsample_to(y, levels[0]) + levels[0])
        return upsample_to(y, x)[..., :height, :width]

    def _subtract(self, maps: list[Tensor]) -> list[list[Tensor]]:
        """Return the differences of orders 1 to 4, each the finest first."""
        orders: list[list[Tensor]] = []
        for order, units in enumerate(self.units):
            assert isinstance(units, nn.ModuleList)
            before = sum(UNITS[:order])
            if len(maps) == 2:  # the published network convolves the coarser one once more
                maps = [maps[0], self.last(maps[1])]
            # The coarsest first (*given*): all units update the running statistics of the same
            # norms, which therefore depend on the order.
            pairs = reversed(list(enumerate(units)))
            maps = [unit(maps[k + 1], maps[k], self.filters, before + k) for k, unit in pairs][::-1]
            orders.append(maps)
        return orders
