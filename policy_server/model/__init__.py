"""Nouns of the product: frozen data, standard library only."""
