"""The layout of tables, independent of their content."""
