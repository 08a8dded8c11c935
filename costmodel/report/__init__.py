"""Tables, formulas and figures to read, as text, Markdown, LaTeX, HTML, CSV and JSON."""
