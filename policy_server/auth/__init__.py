"""Who asks, and may they; and tokens that we show to others."""
