"""Commands about the environment: doctor, completion, mcp."""
