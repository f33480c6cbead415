"""What each network is, as data that can be read without importing torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class NetworkCard:
    """Facts about a network.

    Attributes
    ----------
    name : str
        The name `src_models.create` takes.
    title : str
        The network's name as its authors write it.
    summary : str
        One sentence for a user who has to choose.
    paper, doi : str
        Where it was published.
    parameters : int
        Trainable parameters at `parameters_at` input channels and classes.
    parameters_at : tuple of int
        Input channels and classes of that count.
    divisor : int
        Height and width are padded to a multiple of this inside the network.
    context_slices : int
        Neighbouring slices the network reads beside the one it segments; 0 for a 2-D network.
    loss : str
        What the paper trains with.
    uses_scan : bool
        Whether it contains the selective scan, which is compiled on first use.
    """

    name: str
    title: str
    summary: str
    paper: str
    doi: str
    parameters: int
    parameters_at: tuple[int, int]
    divisor: int
    context_slices: int
    loss: str
    uses_scan: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON data."""
        return asdict(self)


CARDS = {
    card.name: card
    for card in (
        NetworkCard(
            name="s-net",
            title="S-Net",
            summary="Shallow network with selective scans: fine borders, few parameters.",
            paper="Shang et al., Computer Methods and Programs in Biomedicine, 2025",
            doi="10.1016/j.cmpb.2025.108730",
            parameters=1_522_306,
            parameters_at=(3, 1),
            divisor=4,
            context_slices=0,
            loss="BCE + Dice",
            uses_scan=True,
        ),
    )
}
