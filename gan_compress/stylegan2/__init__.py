"""Anycost GAN (Lin et al. 2021): StyleGAN2 generators as an elastic family, projection, editing, training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas import lazy

if TYPE_CHECKING:
    from gan_compress.stylegan2.consistency import Consistency, Labelled, measure_consistency, uniform_subnets
    from gan_compress.stylegan2.edit import FILE, Directions, find_directions
    from gan_compress.stylegan2.fidelity import measure_fidelity
    from gan_compress.stylegan2.generate import (
        class_index,
        difference,
        generator_family,
        interpolate,
        is_ratio,
        latents,
        load_generator,
        ratio_subnet,
        styles,
        synthesize,
        to_pixels,
    )
    from gan_compress.stylegan2.projection import Projection, ProjectionSettings, project
    from gan_compress.stylegan2.task import resolution_of
    from gan_compress.stylegan2.tensors import model_of

__all__ = [
    "FILE",
    "Consistency",
    "Directions",
    "Labelled",
    "Projection",
    "ProjectionSettings",
    "class_index",
    "difference",
    "find_directions",
    "generator_family",
    "interpolate",
    "is_ratio",
    "latents",
    "load_generator",
    "measure_consistency",
    "measure_fidelity",
    "model_of",
    "project",
    "ratio_subnet",
    "resolution_of",
    "styles",
    "synthesize",
    "to_pixels",
    "uniform_subnets",
]

__getattr__ = lazy.attributes(
    __name__,
    {
        "FILE": "gan_compress.stylegan2.edit",
        "Consistency": "gan_compress.stylegan2.consistency",
        "Directions": "gan_compress.stylegan2.edit",
        "Labelled": "gan_compress.stylegan2.consistency",
        "Projection": "gan_compress.stylegan2.projection",
        "ProjectionSettings": "gan_compress.stylegan2.projection",
        "class_index": "gan_compress.stylegan2.generate",
        "difference": "gan_compress.stylegan2.generate",
        "find_directions": "gan_compress.stylegan2.edit",
        "generator_family": "gan_compress.stylegan2.generate",
        "interpolate": "gan_compress.stylegan2.generate",
        "is_ratio": "gan_compress.stylegan2.generate",
        "latents": "gan_compress.stylegan2.generate",
        "load_generator": "gan_compress.stylegan2.generate",
        "measure_consistency": "gan_compress.stylegan2.consistency",
        "measure_fidelity": "gan_compress.stylegan2.fidelity",
        "model_of": "gan_compress.stylegan2.tensors",
        "project": "gan_compress.stylegan2.projection",
        "ratio_subnet": "gan_compress.stylegan2.generate",
        "resolution_of": "gan_compress.stylegan2.task",
        "styles": "gan_compress.stylegan2.generate",
        "synthesize": "gan_compress.stylegan2.generate",
        "to_pixels": "gan_compress.stylegan2.generate",
        "uniform_subnets": "gan_compress.stylegan2.consistency",
    },
)
