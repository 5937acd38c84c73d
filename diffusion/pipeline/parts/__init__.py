"""What stands beside the denoiser: kinds of pipelines, text encoders, decoders, schedulers, tokenizers."""
