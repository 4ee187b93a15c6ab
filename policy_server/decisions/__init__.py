"""Keeps records of decisions, beside the answers and never in their way."""
