"""The write spine: source, checks, compile, keep, announce."""
