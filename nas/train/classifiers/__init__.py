"""Training of classifiers: recipe, batches, objective, validation."""
