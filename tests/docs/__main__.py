"""`python -m tests.docs` writes what is generated in docs/."""

from tests.docs import generated

generated.write()
