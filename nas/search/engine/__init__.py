"""The engine that proposes subnets: models of quality, costs as knapsacks, evolution with repair."""
