"""Places where policies, leases and refresh state are kept."""
