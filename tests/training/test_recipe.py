"""Training as the authors of a network did."""

import numpy as np
import pytest

import src_models
from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.errors import SegliteError
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import RandomState
from napari_seglite.training import start_info, with_authors_recipe
from napari_seglite.training.trainer import Trainer


def m2snet_trainer(request):
    info = CheckpointInfo("new", "m2snet", options={"preset": "light"})
    return Trainer(info.build(), info, request, "cpu", RandomState(0, "cpu"))


def test_the_backbone_learns_a_tenth_as_fast_with_sgd():
    request = with_authors_recipe(FineTuneRequest("m2snet", "new"), "m2snet")
    trainer = m2snet_trainer(request)
    names = {id(weight): name for name, weight in trainer.network.named_parameters()}
    assert type(trainer.optimiser).__name__ == "SGD"
    rates = {}
    for share, rate in ((0.0, 0.0), (0.25, 0.025), (0.5, 0.05), (1.0, 0.0)):
        trainer._set_rate(share)
        for group in trainer.optimiser.param_groups:
            assert group["momentum"] == 0.9
            assert group["nesterov"]
            for weight in group["params"]:
                rates[names[id(weight)]] = group["lr"] / rate if rate else None
        assert all(
            r is None or r == pytest.approx(0.1 if n.startswith("backbone.") else 1.0)
            for n, r in rates.items()
        )
    assert len(rates) == len(names)


def test_batches_take_every_size_of_the_recipe():
    trainer = m2snet_trainer(with_authors_recipe(FineTuneRequest("m2snet", "new"), "m2snet"))
    import torch

    frames, labels = torch.zeros(1, 1, 352, 352), torch.zeros(1, 352, 352, dtype=torch.long)
    labels[:, :, 176:] = 1
    frames[:, 0, :, 176:] = 1.0
    sizes = set()
    for _ in range(60):
        frame, label, weight, _ = trainer._resized((frames, labels, labels + 0.5, None))
        sizes.add(frame.shape[-1])
        assert frame.shape[-2:] == label.shape[-2:] == weight.shape[-2:]
        assert ((frame[:, 0] > 0.5) == (label > 0)).all()
    assert sizes == set(src_models.card("m2snet").recipe.sizes)


def test_it_trains_and_is_kept_with_the_checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    frame = rng.random((1, 96, 96)).astype(np.float32)
    labels = np.zeros((96, 96), np.uint8)
    labels[30:60, 30:60] = 1
    request = FineTuneRequest("m2snet", "new", options={"preset": "light"})
    request = with_authors_recipe(request, "m2snet").adjusted(
        steps=2, batch=2, patch=64, keep_unimproved=True
    )
    store = CheckpointStore(tmp_path)
    for _ in FineTuner(request, [TrainingImage("a", frame, labels)], store).run():
        pass
    assert store.info("new").settings["recipe"] == "authors"


def test_a_network_without_a_recipe_says_which_has_one():
    with pytest.raises(SegliteError, match=r"no recipe of the authors of CeLNet.*M2SNet"):
        with_authors_recipe(FineTuneRequest("celnet", "new"), "celnet")


def test_from_scratch_is_the_same_from_every_door(tmp_path):
    store = CheckpointStore(tmp_path)
    request = FineTuneRequest("unet-sharp", "new")
    assert start_info(request, store).options == {"preset": "tiny"}
    asked = request.adjusted(options={"preset": "base"})
    assert start_info(asked, store).options == {"preset": "base"}
    template = CheckpointInfo("new", "unet-sharp", options={"align_corners": True})
    assert start_info(request, store, template).options == template.options
