"""The cost of a description on paper: conventions, formulas, grids."""
