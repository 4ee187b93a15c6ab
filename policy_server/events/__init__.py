"""Tells others what changed: webhooks, and CloudEvents over HTTP and NATS."""
