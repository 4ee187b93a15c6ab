"""Policy data fetched on a schedule."""
