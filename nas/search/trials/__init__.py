"""What a search is about and what it has seen: budget, study, storage, trials, finalists, run folder."""
