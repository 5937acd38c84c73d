"""Files that are never half-written: everything is written beside its target, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

from nas.errors import NasError, UsageError


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


@contextmanager
def _written(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NasError(
            f"cannot write {target}: {_reason(error)}; choose a writable place with free space"
        ) from error


def listed(values: Sequence[object]) -> str:
    """Return "a, b or c"."""
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


@overload
def new_place(path: str | Path, suffixes: Sequence[str] = ()) -> Path: ...
@overload
def new_place(path: str | Path | None, suffixes: Sequence[str] = ()) -> Path | None: ...
def new_place(path: str | Path | None, suffixes: Sequence[str] = ()) -> Path | None:
    """Return where something new is to be written; called before the work. None stays None.

    Raises `UsageError` where something is already, or the name ends in none of `suffixes`.
    """
    target = None if path is None else Path(path)
    if target is not None and suffixes and target.suffix.lower() not in suffixes:
        raise UsageError(f"--output is {target}, but its name must end in {listed(suffixes)}; rename it")
    if target is not None and target.exists():
        raise UsageError(f"{target} already exists; name a new place or remove that one first")
    return target


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; at success it takes the place of `path`, at failure it is removed.

    For writers that insist on opening a path themselves. A full disk or a read-only folder raises `NasError`.
    """
    target = Path(path)
    with _written(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    beside = Path(name)
    try:
        with _written(target):
            yield beside
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(beside, 0o666 & ~_umask())
            os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part."""
    with replacing(path) as beside:
        beside.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; a missing, unreadable or truncated one raises `NasError` naming it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NasError(f"{path} does not exist; give the path of an existing file") from error
    except OSError as error:
        raise NasError(f"{path} cannot be read: {_reason(error)}") from error
    except ValueError as error:
        raise NasError(f"{path} is not complete JSON ({error}); make it again") from error


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a fresh folder beside `path` that becomes `path` at success and is removed at failure.

    Raises `UsageError` if `path` already exists, `NasError` if it cannot be made.
    """
    target = new_place(path)
    with _written(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        os.chmod(beside, 0o777 & ~_umask())
    try:
        with _written(target):
            yield beside
            beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the user's cache folder of anyfit (not created); the variable `ANYFIT_CACHE` names another."""
    if named := os.environ.get("ANYFIT_CACHE"):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("anyfit")
