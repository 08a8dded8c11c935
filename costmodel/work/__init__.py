"""What is counted: events, costs, sizes. Standard library only."""
