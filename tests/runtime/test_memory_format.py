import json

import numpy as np
import torch

import src_models
from napari_seglite import Segmenter, SegmentRequest
from napari_seglite.checkpoints import CheckpointInfo
from napari_seglite.runtime import apart, memory_format, tuning

INFO = CheckpointInfo("mine", "s-net")


def test_the_faster_format_is_used_and_remembered(tmp_path):
    """With a clock that says which one is faster, since tests must not depend on the machine."""
    network = src_models.create("s-net").eval()
    for number, expected in enumerate(memory_format.MEMORY_FORMATS):
        turns = iter(range(1000))
        clock = _clock(slow=1 - number, turns=turns)
        folder = tmp_path / expected
        assert memory_format.measure(folder, INFO, network, "cpu", clock) == expected
        assert memory_format.remembered(folder, INFO, "cpu") == expected
        kernel = network.encoder2[1][0].conv1[0].weight
        last = kernel.is_contiguous(memory_format=torch.channels_last)
        assert last == (expected == "channels_last")
    other = CheckpointInfo("mine", "s-net", in_channels=3)
    assert memory_format.remembered(tmp_path / "contiguous", other, "cpu") is None


def _clock(slow, turns):
    """Return a clock by which one of the two formats takes ten times as long."""
    now = [0.0]

    def tick():
        turn = next(turns)
        if turn % 2:  # the end of a turn
            now[0] += 10 if (turn // 2) % 2 == slow else 1
        return now[0]

    return tick


def test_what_cannot_be_read_or_written_is_measured_again(tmp_path):
    network = src_models.create("s-net").eval()
    (tmp_path / memory_format.FILE).write_text("no json")
    assert memory_format.remembered(tmp_path, INFO, "cpu") is None
    assert memory_format.measure(tmp_path, INFO, network, "cpu") in memory_format.MEMORY_FORMATS
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert (
        memory_format.measure(blocked / "folder", INFO, network, "cpu")
        in memory_format.MEMORY_FORMATS
    )


def test_until_it_is_measured_the_usual_format_is_used(store, untrained, data_folder):
    image = np.random.default_rng(0).normal(size=(40, 50))
    request = SegmentRequest("untrained", "YX", "cpu")
    segmenter = Segmenter(store)
    first = segmenter.segment(image, request)
    assert not (data_folder / memory_format.FILE).exists()
    assert first.recipe()["memory_format"] == memory_format.usual(untrained, "cpu")
    assert memory_format.usual(CheckpointInfo("any", "unet-sharp"), "cpu") == "contiguous"
    assert memory_format.usual(CheckpointInfo("any", "unet-sharp"), "cuda") == "channels_last"
    # As another process would measure it meanwhile.
    clock = _clock(slow=0, turns=iter(range(1000)))
    memory_format.measure(data_folder, untrained, segmenter._loaded.network, "cpu", clock)
    later = segmenter.segment(image, request)
    assert later.recipe()["memory_format"] == "contiguous"


def test_tuning_measures_in_a_process_of_its_own(store, untrained, data_folder):
    process = tuning.start(data_folder, store.path(untrained.id), "cpu", graph=False)
    assert tuning.start(data_folder, store.path(untrained.id), "cpu", graph=False) is process
    assert not apart.wait(process, stop=lambda: True)
    assert apart.wait(process, stop=lambda: False)
    assert process.returncode == 0
    (measured,) = json.loads((data_folder / memory_format.FILE).read_text()).values()
    assert measured == memory_format.remembered(data_folder, untrained, "cpu")
