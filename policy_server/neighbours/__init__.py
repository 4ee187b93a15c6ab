"""Clients of the services that stand beside this one: cache, DID resolver, task, signer, OCM."""
