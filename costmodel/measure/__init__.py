"""What a description costs for real: timed in fresh processes."""
