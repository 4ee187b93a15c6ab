"""Rego text to compiled policy and manifest."""
