"""OPA's own test cases, run by this product."""
