"""The computations: networks as data. Standard library only."""
