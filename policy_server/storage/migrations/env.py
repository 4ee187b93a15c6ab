"""Run migrations on the connection that ``schema.py`` hands over.

Alembic loads this file for its effects, so it acts when imported.
"""

from alembic import context

from policy_server.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
# The caller's transaction holds all steps together: after kill -9 there is either the old schema or the new one.
with context.begin_transaction():
    context.run_migrations()
