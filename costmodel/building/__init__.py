"""Descriptions as torch modules, and held against them. Needs torch."""
