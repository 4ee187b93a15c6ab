"""Where policy sources come from."""
