"""Image-to-image generators, compressed: the generator of pix2pix and CycleGAN (GAN Compression, Li et al. 2020)."""

from nas.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
