"""Descriptions of networks, a file each."""
