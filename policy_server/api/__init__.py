"""JSON over HTTP, one resource class a route."""
