"""What people read: tables and formulas as text, Markdown, LaTeX, CSV and JSON."""
