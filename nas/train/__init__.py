"""Training a supernet once, and measuring what its subnets are worth."""
