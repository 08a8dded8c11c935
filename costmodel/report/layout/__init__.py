"""How tables are laid out, whatever they are about."""
