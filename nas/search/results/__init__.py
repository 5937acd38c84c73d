"""What a search found: outcome, report, tables, figures, candidates."""
