"""Bundles: policies that travel between servers, signed."""
