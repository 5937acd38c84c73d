"""Labels: when an entry of an axis exists in a subnet, for every value of an exported graph."""
