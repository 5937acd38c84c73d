"""Commands about models: list, show, import, train, evaluate, measure, calibrate, prune, quantize."""
