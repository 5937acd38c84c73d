"""Networks of subnets: of the model's own modules told their sizes, or of the exported graph; and their family."""
