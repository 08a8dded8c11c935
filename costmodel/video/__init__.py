"""What happens over time: key-frame schedules and flicker."""
