"""What is computed: networks as data. Standard library only."""
