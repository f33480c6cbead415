"""Run a job in a process that is killed again and again, and print how often; see its test."""

import os
import random
import signal
import sys
import time

from napari_seglite.blocks import Ledger, run

KILLS = 20
# Seconds to wait for the next mark; a child that takes longer is killed all the same.
PATIENCE = 60


def marks(ledger):
    # Unlike rglob, walk does not mind folders that vanish.
    names = (name for *_, files in os.walk(ledger.where) for name in files)
    return sum(name.endswith(".npz") for name in names)


def main(place, warm_up):
    # Whatever is compiled or imported now, the children do not have to.
    for _ in run(Ledger(warm_up)):
        pass
    random.seed(int(os.environ.get("SEED", "0")))
    ledger, kills = Ledger(place), 0
    for _ in range(3 * KILLS):
        if kills == KILLS or ledger.counts() is not None:
            break
        before = marks(ledger)
        child = os.fork()
        if child == 0:
            for _ in run(Ledger(place)):
                pass
            os._exit(0)
        # Some die before they did anything, most on the way to their next mark.
        enough = before + random.choice([0, 1, 1, 2])
        until = time.monotonic() + PATIENCE
        while marks(ledger) < enough and time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                break
            time.sleep(0.002)
        else:
            time.sleep(random.random() * 0.05)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
    for _ in run(Ledger(place)):
        pass
    print(kills)


if __name__ == "__main__":
    main(*sys.argv[1:])
