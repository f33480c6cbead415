"""The check of a GPU, with what a CPU can run of it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from gpu import logits, pictures, report, runs, scan, throughput, traffic, wheels  # noqa: E402

# What is neither on a bare machine nor carried to it.
ABSENT = (
    "napari qtpy magicgui superqt pyqtgraph vispy PyQt6 PySide6 imagecodecs nibabel pint pooch "
    "pydicom roifile dask"
)
# Python runs it at its start, also that of every part.
SITE = "import sys\nfor name in {names!r}.split():\n    sys.modules[name] = None\n"


@pytest.fixture
def settings(tmp_path):
    return runs.Settings("cpu", str(tmp_path))


@pytest.fixture
def rows(tmp_path):
    return report.Rows("part", tmp_path / "rows.jsonl", 600)


def verdicts(rows):
    return {row.name: row.verdict for row in rows.all}


# ---------------------------------------------------------------------- networks
def test_a_network_like_the_cpus_passes(settings, rows):
    logits.compare(pictures.fresh("u2net-msac"), settings, rows)
    assert verdicts(rows) == {
        "u2net-msac, float32": "passed",
        "u2net-msac, float32 (TF32)": "skipped",
        "u2net-msac, bfloat16": "passed",
        "u2net-msac, float16": "passed",
    }
    # Half precision was really used: a millionth of the range would be float32's.
    assert all(row.value > 1e-4 for row in rows.all if "float16" in row.name)


def test_a_perturbed_network_fails(settings, rows, monkeypatch):
    prepared = logits.prepared

    def perturbed(network, device):
        other = prepared(network, device)
        with torch.no_grad():
            next(other.parameters()).mul_(1.01)
        return other

    monkeypatch.setattr(logits, "prepared", perturbed)
    logits.compare(pictures.fresh("u2net-msac"), settings, rows)
    assert verdicts(rows)["u2net-msac, float32"] == "failed"
    assert rows.all[0].value > logits.BOUNDS["float32"]


def test_networks_that_do_not_exist_fail(rows):
    logits.run(runs.Settings("cpu", "", networks=("no-net",)), rows)
    assert [(row.verdict, row.note) for row in rows.all] == [("failed", "there is none of no-net")]


def test_a_perturbed_scan_fails(settings, rows, monkeypatch):
    both_ways = scan.both_ways

    def perturbed(tensors, weights, backend, device):
        y, gradients = both_ways(tensors, weights, backend, device)
        return y, [g * (1 if backend == "reference" else 1.01) for g in gradients]

    monkeypatch.setattr(scan, "both_ways", perturbed)
    monkeypatch.setattr(scan, "random_shapes", lambda _: [scan.Shape(1, 4, 2, 3, 20)])
    scan.run(settings, rows)
    shape = "numba, 1 x 4 rows, 2 groups, 3 states, 20 tokens"
    assert verdicts(rows)[f"{shape}, forward"] == "passed"
    assert verdicts(rows)[f"{shape}, backward"] == "failed"


def test_random_shapes_reach_from_one_token_to_the_longest():
    shapes = scan.random_shapes(runs.Settings("cuda", ""))
    lengths = [shape.tokens for shape in shapes]
    assert (len(shapes), min(lengths), max(lengths)) == (30, 1, 262_144)
    assert all(shape.rows % shape.groups == 0 for shape in shapes)
    assert sum(n > scan.LOOP for n in lengths) > 5


def test_values_that_float16_cannot_hold_are_no_failure(settings, rows):
    subject = pictures.fresh("u2net-msac")
    with torch.no_grad():
        first = next(m for m in subject.network.modules() if isinstance(m, torch.nn.BatchNorm2d))
        first.weight.fill_(1e6)
    logits.compare(subject, settings, rows)
    row = next(row for row in rows.all if row.name.endswith(" float16"))
    assert row.verdict == "skipped"
    assert "more than it holds" in row.note
    assert verdicts(rows)["u2net-msac, bfloat16"] == "passed"


# ---------------------------------------------------------------------- roofline
def test_a_convolution_is_counted_as_by_hand():
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
    frames = torch.zeros(2, 3, 16, 20)
    (operator,) = traffic.count(convolution, frames)
    assert operator.operations == 2 * (2 * 8 * 16 * 20) * (3 * 3 * 3)
    read, weights, written = 2 * 3 * 16 * 20, 8 * 3 * 3 * 3 + 8, 2 * 8 * 16 * 20
    assert operator.bytes == 4 * (read + weights + written)
    # Bound by its operations on one device, and by its bytes on another.
    assert traffic.roofline([operator], 1e6, 1e12) == pytest.approx(operator.operations / 1e6)
    assert traffic.roofline([operator] * 2, 1e12, 1e6) == pytest.approx(2 * operator.bytes / 1e6)


def test_views_are_free_and_work_in_place_is_not():
    def work(x):
        x = x.view(4, 25).t().relu_()  # reads and writes 100 numbers
        torch.empty(1000)
        return x.expand(3, 25, 4) + 1  # the 100 numbers once, 300 written

    names = [(each.name, each.bytes) for each in traffic.count(work, torch.ones(100))]
    assert names == [("relu_", 800), ("add", 1600)]


def test_operations_are_those_of_torchs_counter_and_the_scan(monkeypatch):
    monkeypatch.setattr("src_models.s_net.can_scan_image", lambda x, channels: False)
    subject = pictures.fresh("s-net")
    frames = subject.frames(1, 32, 32)
    operators = traffic.count(subject.network, frames)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        subject.network(frames)
    scans = [each for each in operators if each.name == "selective_scan"]
    assert scans
    others = sum(each.operations for each in operators if each not in scans)
    assert others == counter.get_total_flops()


def test_throughput_tells_speed_and_share(settings, rows):
    class Peaks:
        operations, bandwidth = {torch.float32: 1e12}, 1e11

    subject = pictures.fresh("u2net-msac")
    throughput.measure(subject, throughput.LAST, 2, 32, settings, Peaks, rows)
    throughput.measure(subject, throughput.GRAPH, 2, 32, settings, Peaks, rows)
    speed, graph = rows.all
    assert speed.facts["operations"] > 1e8
    assert speed.value == pytest.approx(2 * 32 * 32 / speed.facts["seconds"] / 1e9)
    assert graph.verdict == "skipped"


# ---------------------------------------------------------------------- parts and report
def test_bounds_and_numbers_that_are_none(rows):
    assert rows.measured("a", 1, at_most=1).verdict == "passed"
    assert rows.measured("b", 1.1, at_most=1).verdict == "failed"
    assert rows.measured("c", 0.9, at_least=1).verdict == "failed"
    assert rows.measured("d", 3.0).verdict == "measured"
    row = rows.measured("e", float("nan"), facts={"mean": float("inf"), "count": 2})
    assert (row.verdict, row.value, row.facts) == ("failed", None, {"mean": None, "count": 2})
    with rows.attempt("f", memory_may_lack=True):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
    with rows.attempt("g"):
        raise ValueError("no such thing\nand more")
    assert [row.verdict for row in rows.all[-2:]] == ["skipped", "failed"]
    assert rows.all[-1].note == "ValueError: no such thing"
    assert report.read_rows(rows.file) == rows.all


SCRIPTED = """
import os, sys, time
sys.path.insert(0, {scripts!r})
import json, types
from gpu import runs

def behave(settings, rows):
    part = rows.part
    rows.measured("before", 1.0, at_most=2.0)
    if part == "scan":
        raise RuntimeError("the device is lost")
    if part == "segment":
        os._exit(9)
    if part == "train":
        time.sleep(600)

for part in runs.PARTS:
    sys.modules["gpu." + part] = types.SimpleNamespace(run=behave)
assert sys.argv[1] == "--child"
runs.run_child(sys.argv[2])
"""


def test_a_part_that_fails_leaves_the_others_alone(tmp_path):
    entry = tmp_path / "entry.py"
    entry.write_text(SCRIPTED.format(scripts=str(ROOT / "scripts")))
    parts = runs.run_all(entry, tuple(runs.PARTS), "cpu", minutes=0.2)
    verdicts = {part["part"]: part["verdict"] for part in parts}
    assert verdicts == {
        "logits": "passed",
        "scan": "failed",
        "segment": "failed",
        "train": "failed",
        "throughput": "passed",
    }
    # What was known before the end is there in any case, then the reason.
    assert all(part["rows"][0].name == "before" for part in parts)
    why = {part["part"]: part["rows"][-1].note for part in parts}
    assert why["scan"] == "RuntimeError: the device is lost"
    assert why["segment"] == "exit status 9: no message"
    assert why["train"] == "it was ended after 12 s"

    json_file, table = report.write(tmp_path, {"device": "cpu"}, parts)
    whole = json.loads(json_file.read_text())
    assert [part["verdict"] for part in whole["parts"]] == list(verdicts.values())
    assert whole["parts"][1]["rows"][1]["note"] == why["scan"]
    assert whole["parts"][0]["rows"][0]["bound"] == "≤ 2"
    lines = table.read_text().splitlines()
    assert "| scan | the part ended early |  |  | failed | RuntimeError: the device is lost |" in (
        lines
    )
    assert sum(line.startswith("| **") for line in lines) == 5


def test_a_cut_off_line_is_left_out(rows):
    rows.skipped("a", "no")
    with rows.file.open("a") as lines:
        lines.write('{"part": "x", "na')
    assert report.read_rows(rows.file) == rows.all


# ---------------------------------------------------------------------- bare machines
def checked(folder, *words, path=""):
    """Run the check on the CPU, and return its parts as the report has them."""
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check.py"), "--device", "cpu", *words]
    done = subprocess.run(
        [*command, "--output", str(folder), "--minutes", "5"],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + (folder / "gpu_check.md").read_text()
    return json.loads((folder / "gpu_check.json").read_text())["parts"]


def test_neither_napari_nor_qt_is_needed(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SITE.format(names=ABSENT))
    code = "import napari"
    blocked = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert blocked.returncode == 1
    names = ("--networks", "u2net-msac", "general-u2net-msac")
    (part,) = checked(tmp_path / "out", "--parts", "logits", *names, path=tmp_path)
    verdicts = {row["name"]: row["verdict"] for row in part["rows"]}
    assert verdicts["u2net-msac, float32"] == "passed"
    assert verdicts["general-u2net-msac, bfloat16"] == "passed"
    assert len(verdicts) == 8


@pytest.mark.slow
def test_all_parts_run_on_a_cpu(tmp_path):
    parts = checked(tmp_path, "--networks", "u2net-msac")
    assert [part["part"] for part in parts] == list(runs.PARTS)
    assert {part["verdict"] for part in parts} == {"passed"}
    values = {row["name"]: row["value"] for part in parts for row in part["rows"]}
    assert values["u2net-msac, float32"] < logits.BOUNDS["float32"]
    assert values["numba, worst of all, backward"] < scan.BACKWARD
    assert values["too little memory, backed off"] == 1
    assert values["Zarr of 256 x 256, finished"] == 1
    assert values["nuclei-s-net, image of 128 x 128, other pixels than on the CPU"] < 1e-3
    assert values["fine-tuning, held-out Dice"] > 0.5
    assert values["live learning, stroke to prediction"] > 1
    assert values["u2net-msac, 1 x 32 x 32, float32"] > 0
    assert values["scan, numba, 256 tokens of 16 rows, forward"] > 0


def test_wheels_are_unpacked_onto_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="no wheel in"):
        wheels.unpack(tmp_path, tmp_path)
    with zipfile.ZipFile(tmp_path / "carried-1-py3-none-any.whl", "w") as packed:
        packed.writestr("carried_module.py", "NUMBER = 7\n")
    wheels.unpack(tmp_path, tmp_path / "site")
    code = "import carried_module; print(carried_module.NUMBER)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip() == "7"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--carried", "nowhere"], "there is no wheel in nowhere"),
        (["--parts", "all"], "invalid choice: 'all'"),
    ],
)
def test_wrong_words_are_explained(words, said):
    command = [sys.executable, str(ROOT / "scripts" / "gpu_check.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
