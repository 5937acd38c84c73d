"""Anycost GAN (Lin et al. 2021): StyleGAN2 generators as an elastic family, projection, editing, training."""
