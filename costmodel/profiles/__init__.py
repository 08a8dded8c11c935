"""Recorded times: the file format, what samples say, what two files differ in. No torch."""
