"""Torch modules built from descriptions, and checks of descriptions against modules. Needs torch."""
