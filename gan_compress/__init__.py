"""Anycost GAN generators as an elastic family: preview, final, projection, editing; it comes after `nas`."""
