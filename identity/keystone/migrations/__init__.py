"""How the tables of the identity service came to be: alembic's environment, and the steps in `versions`."""
