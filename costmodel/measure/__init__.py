"""What a description costs for real. The only room that imports torch."""
