"""Rego functions that need the host."""
