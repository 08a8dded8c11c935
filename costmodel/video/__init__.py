"""Quantities over time: key-frame schedules and flicker."""
