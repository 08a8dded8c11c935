"""The quantities that are counted: events, costs, sizes. Standard library only."""
