"""JSON files, validated once and whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SegliteError

T = TypeVar("T")


def read_json(path: Path, kind: type[T], largest: int, error: type[SegliteError]) -> T:
    """Read a JSON file into a dataclass or another type that pydantic knows.

    Types are strict: a text is not taken for a number. Unknown fields are ignored.

    Parameters
    ----------
    path : Path
        Of the file.
    kind : type
        Of the result.
    largest : int
        Size in bytes above which the file is not read.
    error : type
        Of the error to raise.

    Raises
    ------
    SegliteError
        Of the type `error`, if the file is missing, too large, or not valid.
    """
    try:
        if not path.is_file():
            raise error(f"{path} is missing.")
        if path.stat().st_size > largest:
            raise error(f"{path} is too large: {path.stat().st_size:,} bytes.")
        return parse_json(path.read_bytes(), kind)
    except OSError as caught:
        raise error(f"{path} cannot be read: {caught.strerror}.") from caught
    except ValueError as caught:
        raise error(f"{path} cannot be read: {caught}.") from caught


def parse_json(blob: bytes | str, kind: type[T]) -> T:
    """Read JSON data into a dataclass or another type that pydantic knows.

    Raises
    ------
    ValueError
        If it is not valid; the message is the first reason, in one line.
    """
    from pydantic import ValidationError

    try:
        result: T = _adapter(kind).validate_json(blob, strict=True)  # type: ignore[arg-type]
        return result
    except SegliteError as error:  # of a value inside
        raise ValueError(str(error).rstrip(".")) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        text = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise ValueError(f"{place}: {text}" if place else text) from error


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
