"""Image-to-image generators, compressed: the generator of pix2pix and CycleGAN (GAN Compression, Li et al. 2020)."""
