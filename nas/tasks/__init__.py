"""What kinds of model are for: their qualities, inputs and outputs."""
