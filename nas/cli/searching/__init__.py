"""Commands about searches: search, profile, compare, export."""
