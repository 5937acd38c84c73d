"""Training denoisers: a pipeline from scratch, or subnets beside the frozen original."""
