"""How the tables of the compute service came to be: alembic's environment, and the steps in `versions`."""
