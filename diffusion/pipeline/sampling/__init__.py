"""From noise to images: the plan of steps, the sampler in torch, the runner of exported pipelines."""
