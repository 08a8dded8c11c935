"""What a description costs on paper: conventions, formulas, grids."""
