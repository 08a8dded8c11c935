"""Recorded times: the file format, estimates from samples, comparisons of two files. No torch."""
