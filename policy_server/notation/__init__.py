"""How settings are written: one reader a kind of value."""
