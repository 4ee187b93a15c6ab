"""The read spine: question, catalog, evaluation, decision."""
