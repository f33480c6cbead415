"""Parents of checkpoints. They are read from files, so nothing says that they form a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .card import CheckpointInfo


def circles(parents: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return the checkpoints that descend from themselves.

    Parameters
    ----------
    parents : mapping
        The parent of each checkpoint, by name.

    Returns
    -------
    dict
        For each, its ancestors from itself back to itself.

    Examples
    --------
    >>> circles({"a": "b", "b": "a", "c": "a", "d": None})
    {'a': ['a', 'b', 'a'], 'b': ['b', 'a', 'b']}
    """
    found: dict[str, list[str]] = {}
    done: set[str] = set()
    for start in parents:
        line: dict[str, None] = {}
        name = start
        while name in parents and name not in done and name not in line:
            line[name] = None
            name = parents[name] or ""
        if name in line:
            members = list(line)[list(line).index(name) :]
            for k, member in enumerate(members):
                found[member] = [*members[k:], *members[:k], member]
        done.update(line)
    return found


def parents_first(infos: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Return checkpoints in an order in which none comes before its parent.

    In a circle of parents, one comes first nevertheless.
    """
    known = {info.id: info for info in infos}
    placed: dict[str, CheckpointInfo] = {}
    for info in infos:
        line: dict[str, CheckpointInfo] = {}
        each: CheckpointInfo | None = info
        while each is not None and each.id not in placed and each.id not in line:
            line[each.id] = each
            each = known.get(each.parent or "")
        placed.update(reversed(line.items()))
    return list(placed.values())
