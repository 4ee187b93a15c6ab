"""Outgoing HTTP that cannot be talked into visiting the inside."""
