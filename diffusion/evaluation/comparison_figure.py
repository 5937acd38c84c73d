"""One picture of a comparison: a row for each pipeline, its figures before its images, prompts above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffusion.evaluation.comparison import Row
from nas.latency.units import format_bytes, format_ms

_INK, _GREY, _BLUE, _GREEN, _RED, _PALE = "#1b1f27", "#667080", "#2563c9", "#14804a", "#c62f3b", "#f1f3f6"
_CELL, _MOST = 128, 256  # pixels of an image in the picture, at least and at most
_GAP, _MARGIN, _LABEL = 6, 24, 376
_NAME, _TIME, _PLAIN, _LINE = 21, 19, 17, 26  # sizes of letters, height of a line


@dataclass(frozen=True)
class Text:
    """A line of text: what, its size in pixels, its colour."""

    words: str
    size: int = _PLAIN
    colour: str = _GREY
    is_bold: bool = False


def draw_contact_sheet(
    rows: Sequence[Row], prompts: Sequence[str], footer: Sequence[str], shown: int
) -> np.ndarray:
    """Return the picture, uint8 (height, width, 3), of the first `shown` images of each pipeline."""
    size = next(row.images.shape[1:3] for row in rows if row.images is not None)
    height, width = scaled(size)
    shown = min(shown, len(prompts))
    titles = [wrapped(prompt, width, 15, lines=3) for prompt in prompts[:shown]]
    top = _MARGIN + 18 * max(map(len, titles)) + 8
    texts = [label(row, rows[0]) for row in rows]
    tall = max(height, *(_LINE * len(lines) + 12 for lines in texts))
    total = (
        2 * _MARGIN + _LABEL + shown * (width + _GAP) - _GAP,
        top + len(rows) * (tall + 3 * _GAP) + 20 * len(footer) + _MARGIN,
    )
    contact_sheet = Image.new("RGB", total, "white")
    pen = ImageDraw.Draw(contact_sheet)
    left = _MARGIN + _LABEL
    for column, lines in enumerate(titles):
        for number, line in enumerate(lines):
            bottom = top - 8 - 18 * (len(lines) - number)
            _write(pen, (left + column * (width + _GAP), bottom), Text(line, 15))
    for number, (row, lines) in enumerate(zip(rows, texts, strict=True)):
        y = top + number * (tall + 3 * _GAP)
        for place, line in enumerate(lines):
            _write(pen, (_MARGIN, y + (tall - _LINE * len(lines)) // 2 + _LINE * place), line)
        middle = y + (tall - height) // 2
        box = (left, middle, total[0] - _MARGIN, middle + height)
        _images(contact_sheet, row, box, shown)
    for number, words in enumerate(footer):
        _write(pen, (_MARGIN, total[1] - _MARGIN + 4 - 20 * (len(footer) - number)), Text(words, 14))
    return np.asarray(contact_sheet)


def _images(contact_sheet: Image.Image, row: Row, box: tuple[int, int, int, int], shown: int) -> None:
    left, top, right, bottom = box
    if row.images is None:
        pen = ImageDraw.Draw(contact_sheet)
        pen.rectangle(box, fill=_PALE)
        words = wrapped(f"no image: {row.failure}", right - left - 40, 16, lines=4)
        for number, line in enumerate(words):
            y = (top + bottom) // 2 - 11 * len(words) + 22 * number
            _write(pen, (left + 20, y), Text(line, 16, _RED))
        return
    height, width = scaled(row.images.shape[1:3])
    for column, pixels in enumerate(row.images[:shown]):
        is_larger = pixels.shape[0] > height
        how = Image.Resampling.LANCZOS if is_larger else Image.Resampling.NEAREST
        contact_sheet.paste(
            Image.fromarray(pixels).resize((width, height), how), (left + column * (width + _GAP), top)
        )


def scaled(size: Sequence[int]) -> tuple[int, int]:
    """Return the height and width at which images of a size are shown: whole pixels many times, or a share of them."""
    height, width = size
    if max(height, width) > _MOST:
        share = _MOST / max(height, width)
        return max(1, round(height * share)), max(1, round(width * share))
    zoom = max(1, -(-_CELL // max(height, width)))
    return height * zoom, width * zoom


def label(row: Row, first: Row) -> list[Text]:
    """Return the lines before a pipeline's images."""
    name = wrapped(row.name.partition("@")[0], _LABEL - 20, _NAME, lines=2, is_bold=True)
    lines = [Text(line, _NAME, _INK, True) for line in name]
    if row.latency is not None:
        faster = ""
        if row is not first and first.latency is not None:
            times = first.latency.median_ms / row.latency.median_ms
            faster = (
                f", {times:.1f}× faster"
                if times >= 1.05
                else f", {1 / times:.1f}× slower"
                if times <= 0.95
                else ""
            )
        lines.append(Text(f"{format_ms(row.latency.median_ms)} an image{faster}", _TIME, _BLUE, True))
    lines += [Text(line) for line in wrapped(_sampling(row.sampling), _LABEL - 20, _PLAIN, lines=2)]
    sizes = [format_bytes(row.size_bytes)] if row.size_bytes is not None else []
    sizes += [f"{format_bytes(row.memory_bytes)} in memory"] if row.memory_bytes is not None else []
    lines += [Text(", ".join(sizes))] if sizes else []
    likeness = []
    if row.difference is not None:
        likeness.append(
            "equal images" if row.difference.psnr_db == np.inf else f"PSNR {row.difference.psnr_db:.1f} dB"
        )
        likeness += [] if row.difference.ssim is None else [f"SSIM {row.difference.ssim:.2f}"]
    lines += [Text(", ".join(likeness))] if likeness else []
    if row.match is not None:
        interval = f"{row.match.low:.0f}–{row.match.high:.0f}%"
        lines.append(Text(f"prompt match {row.match.percent:.0f}% ({interval})", colour=_GREEN))
    if row.failure and row.images is not None:
        lines += [Text(line, 15, _RED) for line in wrapped(row.failure, _LABEL - 20, 15, lines=3)]
    return lines


def _sampling(sampling: dict[str, Any]) -> str:
    steps, share, reuse = (sampling.get(name) for name in ("steps", "guided", "reuse"))
    words = [f"{steps} step{'s' if steps != 1 else ''}"]
    if share is not None:
        part = "" if share == 1 else f" in {100 * share:.0f}%"
        words.append("unguided" if share == 0 else f"guidance {sampling['guidance']:g}{part}")
    if reuse is not None and reuse > 1:
        words.append(f"deep features every {reuse}")
    return ", ".join(words)


def wrapped(words: str, width: int, size: int, *, lines: int, is_bold: bool = False) -> list[str]:
    """Return text in at most `lines` lines of at most `width` pixels; what does not fit ends in "…"."""
    found = [""]
    for word in words.split():
        longer = f"{found[-1]} {word}".strip()
        if not found[-1] or _font(size, is_bold).getlength(longer) <= width:
            found[-1] = longer
        else:
            found.append(word)
    kept = found[:lines]
    if len(found) > lines:
        kept[-1] += " …"
    return [_cut(line, width, size, is_bold) for line in kept]


def _cut(line: str, width: int, size: int, is_bold: bool) -> str:
    if _font(size, is_bold).getlength(line) <= width:
        return line
    while line and _font(size, is_bold).getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line.removesuffix('…').rstrip()}…"


def _write(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: Text) -> None:
    pen.text(place, text.words, fill=text.colour, font=_font(text.size, text.is_bold))


@cache
def _font(size: int, is_bold: bool = False) -> Any:
    """Return the font that comes with matplotlib: the same on every machine."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
