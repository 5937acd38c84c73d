"""Stable Diffusion, pruned and quantized as an elastic family over diffusers; it comes after `nas`."""
