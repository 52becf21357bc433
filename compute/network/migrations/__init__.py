"""How the tables of the network service came to be: alembic's environment, and the steps in `versions`."""
