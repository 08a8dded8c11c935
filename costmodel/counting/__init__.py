"""What any module costs: it runs once, and every operation of torch counts. Needs torch."""
