"""Public keys and signatures as JSON: JWK (RFC 7517) and JWS (RFC 7515)."""
