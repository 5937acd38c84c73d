"""Anycost GAN (Lin et al. 2021): StyleGAN2 generators as an elastic family, projection, editing, training."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
