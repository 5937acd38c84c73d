"""Which kind of source a `--data` argument names."""

from __future__ import annotations

from pathlib import Path

from nas.data.sources.digits import digits
from nas.data.sources.folder import image_folder
from nas.data.sources.parquet import parquet, parquet_files
from nas.data.sources.table import DataSource
from nas.data.sources.torchvision import names, nearest, torchvision_data
from nas.errors import UsageError


def find_source(
    spec: str,
    *,
    root: str | None = None,
    download: bool = False,
    image_column: str | None = None,
    label_column: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> DataSource:
    """Open `digits`, `torchvision:NAME`, an image folder, or a parquet file or folder.

    Raises `UsageError` (a wrong name, path or column) or `NasError` (a broken file) in one sentence.
    """
    if spec == "digits":
        return digits()
    path = Path(spec).expanduser()
    if spec.startswith("torchvision:") or (not path.exists() and _is_torchvision(spec)):
        folder = Path(root).expanduser() if root else Path.home() / ".cache" / "torchvision"
        return torchvision_data(spec.removeprefix("torchvision:"), folder, download)
    if not path.exists():
        if spec.isidentifier() and (near := nearest(spec)):
            raise UsageError(f"there is no data set and no path {spec}; did you mean {near!r}")
        raise UsageError(
            f"there is no data at {spec}; give `digits`, `torchvision:NAME`, a folder of images or "
            "class folders, or parquet files"
        )
    files = parquet_files(path) if path.is_dir() else [path]
    if path.is_dir() and not files:
        return image_folder(path)
    if path.is_file() and path.suffix != ".parquet":
        raise UsageError(
            f"{path} is a file but no .parquet file; give a folder of class folders or parquet files"
        )
    return parquet(files, image_column=image_column, label_column=label_column, classes=classes)


def _is_torchvision(spec: str) -> bool:
    return spec.isidentifier() and spec.lower() in {name.lower() for name in names()}
