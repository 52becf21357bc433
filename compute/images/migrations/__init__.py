"""How the tables of the image service came to be: alembic's environment, and the steps in `versions`."""
