"""Segment and fine-tune on another computer: the same results as here, and every way to end."""

import dataclasses
import time
from threading import Event

import numpy as np
import pytest

from napari_seglite import CheckpointStore, FineTuneRequest, Segmenter, cli, read_image
from napari_seglite.errors import Cancelled, CheckpointError, RemoteError
from napari_seglite.formats import write_labels
from napari_seglite.images import TrainingImage
from napari_seglite.remote import Connection, RemoteFineTuner, RemoteSegmenter, read_address
from napari_seglite.remote import connection as connecting
from napari_seglite.runtime import WithResult
from napari_seglite.training import (
    Finished,
    Previewed,
    RunCallbacks,
    Schedule,
    StepDone,
    Validation,
)

TINY = "nuclei-unet-sharp-tiny"


def connected(cluster):
    """Return a connection once the worker is there."""
    connection = Connection(read_address(cluster.url, *cluster.files))
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            connection.describe()
        except RemoteError as error:
            if "no workers" not in str(error):
                raise
            time.sleep(0.1)
        else:
            return connection
    raise TimeoutError


@pytest.fixture(scope="module")
def connection(cluster):
    found = connected(cluster)
    yield found
    found.close()


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.fixture
def images(cells):
    """Return two labelled frames."""
    pixels = np.repeat(cells[None, :128] / 255, 3, 0).astype(np.float32)
    labels = (cells[:128] > 70).astype(np.uint8)
    return [
        TrainingImage(f"cells {k}", pixels[..., k : k + 96], labels[:, k : k + 96]) for k in (0, 99)
    ]


def tuning(**validation):
    schedule = Schedule(steps=3, minutes=5, batch=2, patch=64)
    asked = Validation(keep_unimproved=True, validate_every=1, **validation)
    return FineTuneRequest(
        TINY, "mine", schedule, validation=asked, device="cpu", first_answer=False
    )


class Counted:
    """An image that counts the pixels that are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        self.read += self.array[index].size
        return self.array[index]


@pytest.mark.parametrize(
    ("axes", "settings"),
    [
        ("YX", {"output": "instances", "min_size": 15}),
        ("ZYX", {"output": "semantic", "frames": (0, 2), "region": "20,30,120,150"}),
    ],
)
def test_labels_and_probabilities_are_those_of_this_computer(
    connection, cells, request_of, axes, settings
):
    image = cells if axes == "YX" else np.stack([cells, cells[::-1], cells[:, ::-1]])
    request = request_of(axes, **settings)
    steps = WithResult(RemoteSegmenter(connection=connection).run(image, request))
    come = [step for step in steps if step.finished is not None]
    here = Segmenter().segment(image, request)
    assert len({step.done for step in come}) > 1
    assert here.labels.any()
    np.testing.assert_array_equal(steps.result.labels, here.labels)
    np.testing.assert_array_equal(steps.result.probabilities, here.probabilities)
    np.testing.assert_array_equal(steps.result.head, here.head)
    assert steps.result.recipe() == here.recipe()
    assert steps.result.complete


def test_of_a_stack_only_the_pixels_that_are_needed_are_sent(connection, cells, request_of):
    image = Counted(np.stack([cells] * 3))
    request = request_of("ZYX", frames=(1,), region="0,0,50,232")
    known = intensities_of(image.array, request)
    steps = WithResult(RemoteSegmenter(connection=connection).predict(image, request, known=known))
    list(steps)
    assert steps.result.complete
    assert 0 < image.read <= 60 * 232


def intensities_of(array, request):
    from napari_seglite.checkpoints import measure_intensities
    from napari_seglite.images import ImageAxes

    info = CheckpointStore().info(request.checkpoint)
    return measure_intensities(array, ImageAxes(request.axes), info)


def test_cancelling_keeps_tiles_and_the_next_run_goes_on_from_them(connection, cells, request_of):
    segmenter, stop = RemoteSegmenter(connection=connection), Event()
    request = request_of(output="semantic", min_size=0)
    steps = WithResult(segmenter.run(cells, request, stop.is_set))
    for step in steps:
        if step.finished is not None:
            stop.set()
    partial = steps.result
    assert 0 < partial.share < 1
    here = Segmenter().segment(cells, request)
    finished = partial.coverage.frame(0)
    np.testing.assert_array_equal(partial.labels[finished], here.labels[finished])
    assert not partial.labels[~finished].any()
    done = int(partial.tiles.done.sum())
    steps = WithResult(segmenter.run(cells, request, resume=partial))
    first = next(step for step in steps if step.total)
    assert first.done > done
    for _ in steps:
        pass
    steps = WithResult(segmenter.run(cells, request, resume=partial))
    list(steps)
    np.testing.assert_array_equal(steps.result.labels, here.labels)
    with pytest.raises(Cancelled):
        list(segmenter.run(cells, request, lambda: True))


def test_a_checkpoint_that_learnt_there_is_in_the_store_here(connection, images, store):
    patch = object()
    callbacks = RunCallbacks(preview_frame=lambda: (images[0].frame, patch), preview_every=0.0)
    tuner = RemoteFineTuner(connection, tuning(), images, store)
    events = list(tuner.run(callbacks=callbacks))
    assert sum(isinstance(event, StepDone) for event in events) == 3
    patches = [event.patch for event in events if isinstance(event, Previewed)]
    assert set(patches) == {patch}
    assert isinstance(events[-1], Finished)
    info = store.info("mine")
    assert events[-1].checkpoint == info
    assert info.parent == TINY
    assert info.settings["computer"]
    store.load("mine")
    with pytest.raises(CheckpointError, match="mine"):  # the name is taken now
        RemoteFineTuner(connection, tuning(), images, store)


def test_stopping_keeps_what_was_learnt(connection, images, store):
    request = tuning().adjusted(steps=100_000, minutes=30)
    stop = Event()
    for event in RemoteFineTuner(connection, request, images, store).run(stop.is_set):
        if isinstance(event, StepDone):
            stop.set()
    assert isinstance(event, Finished)
    assert 0 < event.status.step < 1000
    assert store.info("mine") == event.checkpoint


def test_another_version_there_is_told(connection, cells, request_of, monkeypatch):
    monkeypatch.setattr(connecting, "__version__", "99.1")
    with pytest.raises(RemoteError, match=r"and this computer 99\.1"):
        RemoteSegmenter(connection=connection).segment(cells, request_of())


def test_errors_there_are_errors_here(connection, cells, request_of):
    request = dataclasses.replace(request_of(), pruning_level=9)
    with pytest.raises(Exception, match="levels 1 to") as here:
        Segmenter().segment(cells, request)
    with pytest.raises(type(here.value), match="levels 1 to"):
        RemoteSegmenter(connection=connection).segment(cells, request)


def test_a_worker_that_is_killed_costs_nothing_that_had_come(
    make_cluster, cells, images, request_of, store, monkeypatch
):
    lost = make_cluster()
    worker, connection = lost.worker(), connected(lost)
    big, request = np.tile(cells, (1, 2)), request_of(output="semantic", min_size=0)
    steps = WithResult(RemoteSegmenter(connection=connection).run(big, request))
    for step in steps:
        if step.finished is not None and worker.poll() is None:
            worker.kill()
            worker.wait()
    partial = steps.result
    assert 0 < partial.share < 1
    assert "was lost" in " ".join(partial.notices)
    finished = partial.coverage.frame(0)
    # A run here that goes on from it is whole in the end.
    whole = WithResult(Segmenter().run(big, request, resume=partial))
    list(whole)
    expected = Segmenter().segment(big, request).labels
    np.testing.assert_array_equal(whole.result.labels, expected)
    np.testing.assert_array_equal(partial.labels[finished], expected[finished])

    worker = lost.worker()
    until = time.monotonic() + 60
    while not connection._client.scheduler_info()["workers"] and time.monotonic() < until:
        time.sleep(0.1)
    events = RemoteFineTuner(connection, tuning(), images, store).run()
    while not isinstance(next(events), StepDone):
        pass
    worker.kill()
    worker.wait()
    with pytest.raises(RemoteError, match="was lost"):
        list(events)
    with pytest.raises(RemoteError, match="no workers"):
        connection.describe()


def test_the_work_ends_when_nobody_listens(connection, cells, request_of):
    from napari_seglite.remote.session import digest

    request = request_of()
    info = CheckpointStore().info(TINY)
    with connection.session(silence=0.5) as session:
        session.send_checkpoint(CheckpointStore(), TINY)
        known = intensities_of(cells, request)
        session.call("segment", digest(info), request, cells.shape, cells.dtype, known, None)
        time.sleep(2.0)
        with pytest.raises(RemoteError, match="heard nothing from here"):
            for _ in session.conversation(connecting.Controls):
                pass


def test_with_certificates(make_cluster, tmp_path, cells, request_of):
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    keys = distributed.Security.temporary()
    files = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    texts = keys.tls_ca_file, keys.tls_client_cert, keys.tls_client_key
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    words = zip(("--tls-ca-file", "--tls-cert", "--tls-key"), files, strict=True)
    cluster = make_cluster([f"{option}={file}" for option, file in words], "tls", files)
    cluster.worker()
    connection = connected(cluster)
    request = request_of()
    labels = RemoteSegmenter(connection=connection).segment(cells, request).labels
    np.testing.assert_array_equal(labels, Segmenter().segment(cells, request).labels)
    connection.close()
    strange = distributed.Security.temporary()
    files[1].write_text(strange.tls_client_cert)
    files[2].write_text(strange.tls_client_key)
    with pytest.raises(RemoteError, match="same authority"):
        Connection(read_address(cluster.url, *map(str, files))).describe()
    with pytest.raises(RemoteError, match="tls://"):
        Connection(read_address(cluster.url.replace("tls:", "tcp:"))).describe()


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        ("", {}, "no address"),
        ("http://localhost:1", {}, "no address"),
        ("tcp://localhost:none", {}, "no address"),
        ("gpu-room", {}, "not encrypted"),
        ("tcp://10.0.0.7:8786", {}, "not encrypted"),
        ("tls://gpu-room", {}, "choose the CA's certificate"),
        ("tls://gpu-room", {"ca": "/no/ca.pem"}, "cannot be read: /no/ca.pem"),
    ],
)
def test_addresses_that_cannot_be_used_are_told_before_anything_is_sent(text, more, sentence):
    with pytest.raises(RemoteError, match=sentence):
        read_address(text, **more)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost", "tcp://localhost:8786"),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
        (" 127.0.0.1:5 ", "tcp://127.0.0.1:5"),
    ],
)
def test_addresses_that_stay_on_this_computer_need_no_encryption(text, url):
    assert read_address(text).url == url
    assert read_address("tcp://gpu-room:1", unencrypted=True).name == "gpu-room:1"


def test_nothing_answers(cells, request_of, monkeypatch):
    monkeypatch.setattr(connecting, "CONNECT", 1.0)
    with pytest.raises(RemoteError, match="No Dask scheduler answers"):
        RemoteSegmenter(connection=Connection(read_address("localhost:1"))).segment(
            cells, request_of()
        )


def test_the_shell(cluster, connection, cells, tmp_path, capsys, monkeypatch):
    import tifffile

    monkeypatch.setenv("SEGLITE_DATA", str(tmp_path / "data"))
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "cells.tif", cells)
    common = ["--checkpoint", TINY, "--device", "cpu", "--remote", cluster.url]
    words = ["segment", str(tmp_path / "images"), "--output", str(tmp_path / "labels")]
    assert cli.main([*words, *common, "--semantic", "--runtime", "torch"]) == 0
    found = read_image(tmp_path / "labels" / "cells_labels.tif").array
    from napari_seglite import SegmentRequest

    request = SegmentRequest(TINY, "YX", device="cpu", output="semantic", runtime="torch")
    np.testing.assert_array_equal(found, Segmenter().segment(cells, request).labels)
    write_labels(tmp_path / "labels" / "cells.tif", (cells > 70).astype(np.uint8))
    (tmp_path / "labels" / "cells_labels.tif").unlink()
    words = [
        "fine-tune",
        "--images",
        str(tmp_path / "images"),
        "--labels",
        str(tmp_path / "labels"),
    ]
    words += ["--name", "shell", "--steps", "3", "--patch", "64", "--keep-unimproved"]
    capsys.readouterr()
    assert cli.main([*words, *common]) == 0
    assert capsys.readouterr().out == "shell\n"
    assert CheckpointStore().info("shell").settings["computer"]
    assert cli.main([*words, *common, "--devices", "2"]) == 1
    assert "--remote" in capsys.readouterr().err
