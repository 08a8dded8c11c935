"""The timing of descriptions in fresh processes."""
