"""The denoisers of diffusers, UNets and transformers, as elastic families: blocks, conditions, subnets as models."""
