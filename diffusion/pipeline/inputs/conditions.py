"""What a denoiser is told beside noise and time, as plain data: where each of its arguments comes from.

The same data drive the sampler here and, written to `sampling.json`, the runner of exported pipelines. Guidance needs
every argument twice: *with* the prompt or class, and *without* it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

LATENTS = "latents"


@dataclass(frozen=True)
class Tokens:
    """An input (batch, `length`) made of a prompt: numbers of one of `words` tokens, or with `mask` which are there."""

    tokenizer: str
    words: int
    length: int
    mask: bool = False
    lower: bool = False
    """Whether the prompt is put into lower case and stripped before."""

    def example(self, batch_size: int) -> Tensor:
        """Return deterministic values, int64 (batch, length)."""
        places = torch.arange(batch_size * self.length).reshape(batch_size, self.length)
        # The last token is missing in every second prompt; numbers go through the whole vocabulary.
        return (
            (places % (2 * self.length) != 2 * self.length - 1).long()
            if self.mask
            else places * 7 % self.words
        )


@dataclass(frozen=True)
class Label:
    """An input (batch): a class of `classes`."""

    classes: int

    def example(self, batch_size: int) -> Tensor:
        """Return deterministic values, int64 (batch)."""
        return torch.arange(batch_size) * 7 % self.classes


@dataclass(frozen=True)
class EncodedConditions:
    """Features `start` to `stop` of what a program makes, (batch, tokens, features); `pooled`: of the first token."""

    program: str
    start: int
    stop: int
    pooled: bool = False


@dataclass(frozen=True)
class Given:
    """An input as it is; without the prompt its negative, or `without` where there is none."""

    input: str
    without: int | None = None


@dataclass(frozen=True)
class Constant:
    """The same values for every image."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class Conditions:
    """All that a denoiser is told.

    Attributes:
        inputs: what an image is made of beside its noise, by name.
        encoders: programs that make features, each with its arguments and the inputs that they are given.
        told: the denoiser's arguments; `EncodedConditions` ones of a row are joined along the features.
        negatives: whether the inputs also have negatives; else what is encoded is zero without the prompt.
    """

    inputs: Mapping[str, Tokens | Label] = field(default_factory=dict)
    encoders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    conditioning: Mapping[str, tuple[EncodedConditions, ...] | Given | Constant] = field(default_factory=dict)
    negatives: bool = False

    def example(self, batch_size: int) -> dict[str, Tensor]:
        """Return deterministic inputs by name, the negatives after the others."""
        found = {name: value.example(batch_size) for name, value in self.inputs.items()}
        if self.negatives:
            found |= {negative(name): torch.zeros_like(x) for name, x in found.items()}
            for name, value in self.inputs.items():
                if isinstance(value, Tokens) and value.mask:
                    found[negative(name)][:, 0] = 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that the runner reads."""
        return {
            "encoders": {program: dict(arguments) for program, arguments in self.encoders.items()},
            "conditioning": {
                name: [vars(part) for part in value] if isinstance(value, tuple) else vars(value)
                for name, value in self.conditioning.items()
            },
        }


def negative(name: str) -> str:
    """Return the name of an input's negative: "negative_2" for "prompt_2"."""
    return name.replace("prompt", "negative")


def tell(
    conditions: Conditions,
    programs: Mapping[str, Callable[[Any], Tensor]],
    inputs: Mapping[str, Tensor],
    guided: bool,
) -> dict[str, Tensor]:
    """Return the denoiser's arguments: if `guided`, a row for each image without its prompt, then one with it."""
    features = {
        program: _encoded(programs[program], arguments, inputs, guided)
        for program, arguments in conditions.encoders.items()
    }
    rows = inputs[LATENTS].shape[0] * (2 if guided else 1)

    def value(source: tuple[EncodedConditions, ...] | Given | Constant) -> Tensor:
        if isinstance(source, Given):
            return _given(source, inputs, guided)
        if isinstance(source, Constant):
            values = torch.tensor(source.values, dtype=inputs[LATENTS].dtype, device=inputs[LATENTS].device)
            return values.expand(rows, len(source.values))
        parts = [features[part.program][..., part.start : part.stop] for part in source]
        parts = [x[:, 0] if part.pooled else x for part, x in zip(source, parts, strict=True)]
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    return {name: value(source) for name, source in conditions.conditioning.items()}


def _encoded(
    run: Callable[[Any], Tensor], arguments: Mapping[str, str], inputs: Mapping[str, Tensor], guided: bool
) -> Tensor:
    given = {argument: inputs[name] for argument, name in arguments.items()}
    if not guided:
        return run(given)
    if all(negative(name) in inputs for name in arguments.values()):
        return run({a: torch.cat([inputs[negative(name)], given[a]]) for a, name in arguments.items()})
    features = run(given)
    return torch.cat([torch.zeros_like(features), features])


def _given(source: Given, inputs: Mapping[str, Tensor], guided: bool) -> Tensor:
    own = inputs[source.input]
    if not guided:
        return own
    other = (
        torch.full_like(own, source.without) if source.without is not None else inputs[negative(source.input)]
    )
    return torch.cat([other, own])
