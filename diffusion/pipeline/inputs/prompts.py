"""Prompts and classes as inputs of a pipeline: token numbers, masks, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffusion.pipeline.files.folder import read_index
from diffusion.pipeline.inputs.conditions import Conditions, Label, Tokens, negative
from diffusion.pipeline.parts.tokenizer import check_prompts
from nas.errors import NasError, UsageError

PROMPTS = (
    "a photo of a red apple on a wooden table",
    "a small house by a lake in the mountains",
    "a portrait of an old man with a hat",
    "a black cat sitting on a chair",
    "a city street at night in the rain",
    "a bowl of soup with vegetables",
    "a sailing ship on a stormy sea, oil painting",
    "an astronaut riding a horse",
)
"""For pipelines of texts that name none themselves."""


def general_prompts(conditions: Conditions) -> Sequence[str]:
    """Return prompts for a pipeline that names none: texts, numbers of classes, or nothing at all."""
    labels = [value.classes for value in conditions.inputs.values() if isinstance(value, Label)]
    if labels:
        return some_classes(labels[0])
    return PROMPTS if conditions.inputs else ("",)


def some_classes(count: int) -> list[str]:
    """Return the numbers of up to eight classes from all over `count`."""
    return list(dict.fromkeys(str(place * count // 8) for place in range(8)))


def prompt_inputs(folder: Path, conditions: Conditions, prompts: Sequence[str]) -> dict[str, Tensor]:
    """Return the inputs that prompts make by the tokenizers or class names in a pipeline's folder, negatives empty.

    Prompts that are too long are cut. Raises `UsageError` for a class that the pipeline has not.
    """
    found: dict[str, Tensor] = {}
    for name, value in conditions.inputs.items():
        if isinstance(value, Label):
            found[name] = torch.tensor([find_label(read_labels(folder), value.classes, p) for p in prompts])
            continue
        found[name] = tokenize(folder, value, prompts)
        if conditions.negatives:
            found[negative(name)] = tokenize(folder, value, [""] * len(prompts))
    return found


def require_prompts(folder: Path, conditions: Conditions, prompts: Sequence[str]) -> None:
    """Raise `UsageError` for a prompt that the pipeline in a folder does not take: too long, no class, or any."""
    if not conditions.inputs and (given := next(filter(None, prompts), None)) is not None:
        raise UsageError(f"{folder} is unconditional, but the prompt {given!r} is given; leave it out")
    for value in conditions.inputs.values():
        if isinstance(value, Tokens):
            check_prompts(load_tokenizer(folder, value.tokenizer), prompts, longest=value.length)
            continue
        labels = read_labels(folder)
        for prompt in prompts:
            find_label(labels, value.classes, prompt)


def load_tokenizer(folder: Path, name: str) -> Any:
    """Return the tokenizer in the folder `name` of a pipeline; raises `NasError` where it cannot be read."""
    import transformers

    index = read_index(folder)
    kind = str(index[name][1]).removesuffix("Fast")
    try:
        return getattr(transformers, kind).from_pretrained(folder / name, local_files_only=True)
    except (
        Exception
    ) as error:  # a class that there is not, a missing or damaged file, a library that reads it
        reason = str(error).strip().partition("\n")[0]
        raise NasError(
            f"the tokenizer in {folder / name} cannot be read ({reason}); fetch the pipeline again"
        ) from error


def tokenize(folder: Path, tokens: Tokens, prompts: Sequence[str]) -> Tensor:
    """Return the token numbers or the mask (n, length), int64, of prompts."""
    conditioning = load_tokenizer(folder, tokens.tokenizer)(
        [prompt.lower().strip() if tokens.lower else prompt for prompt in prompts],
        padding="max_length",
        max_length=tokens.length,
        truncation=True,
        return_tensors="pt",
    )
    return conditioning.attention_mask if tokens.mask else conditioning.input_ids


def read_labels(folder: Path) -> dict[str, int]:
    """Return the names of classes that a pipeline's index tells, each with its number; several may mean one class."""
    names = read_index(folder).get("id2label")
    pairs = names.items() if isinstance(names, Mapping) else ()
    return {word.strip(): int(number) for number, words in pairs for word in str(words).split(",")}


def find_label(labels: Mapping[str, int], classes: int, name: str) -> int:
    """Return the number of the class `name`, a name or a number; raises `UsageError` for another."""
    text = name.strip()
    if text in labels:
        return labels[text]
    if text.isdecimal() and int(text) < classes:
        return int(text)
    known = f"one of the {len(labels)} names, such as {next(iter(labels))!r}, or " if labels else ""
    raise UsageError(f"the pipeline has no class {name!r}; give {known}a number from 0 to {classes - 1}")
