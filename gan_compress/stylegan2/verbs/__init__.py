"""What people do with a generator: each a function with a result, which a command prints."""
