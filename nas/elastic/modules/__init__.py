"""What holds for static modules, elastic or not: inputs by name, memory format, statistics, layers of few bits."""
