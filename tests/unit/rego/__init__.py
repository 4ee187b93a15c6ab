"""Property tests of the bundled policies."""
