"""How the tables of the volume service came to be: alembic's environment, and the steps in `versions`."""
