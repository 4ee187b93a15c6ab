"""Infinity's dialect: inputs, guard, replies."""
