"""Freed memory stays while a network runs, and goes back afterwards."""

import subprocess
import sys

import pytest

from napari_seglite.engine import heap

ALONE = """
import sys, threading
import psutil, torch
from napari_seglite.engine import heap
SIZE = 400_000_000

def held():
    return psutil.Process().memory_info().rss

def use():  # takes and frees a large block, as a layer does with a feature map
    torch.ones(SIZE // 4).sum()

def work():
    with heap.kept("cpu"):
        before = held()
        use()
        kept.append(held() - before)
        with heap.kept("cpu"):  # another job beside it
            use()
        kept.append(held() - before)

kept = []
before = held()
if sys.argv[1] == "True":
    heap.prepare()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
# More than once the size, where a block of the same size does not fit into the gap exactly.
assert all(more > 0.8 * SIZE for more in kept), kept
assert held() - before < 0.2 * SIZE
use()  # as before: back at once
assert held() - before < 0.2 * SIZE
"""


@pytest.mark.skipif(heap._glibc() is None, reason="only glibc is told what to keep")
@pytest.mark.parametrize("in_thread", [False, True])
def test_it_stays_and_goes(in_thread):
    """In a program of its own: threads that ran before leave glibc arenas of another kind."""
    subprocess.run([sys.executable, "-c", ALONE, str(in_thread)], check=True)


def test_other_devices_and_systems_are_left_alone(monkeypatch):
    called = []
    monkeypatch.setattr(heap, "_set", lambda *arguments: called.append(arguments))
    with heap.kept("cuda"):
        pass
    monkeypatch.setattr(sys, "platform", "darwin")
    with heap.kept("cpu"):
        pass
    assert not called
