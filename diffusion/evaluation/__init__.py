"""How good a pipeline's images are, alone, as a search judges them, and side by side with others."""
