"""What images are made of beside noise: prompts, captions, classes, and what the denoiser is told of them."""
