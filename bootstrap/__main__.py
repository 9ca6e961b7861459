"""`python -m bootstrap` is `pixdepot bootstrap`."""

from .commands import bootstrap

if __name__ == "__main__":
    bootstrap(prog_name="python -m bootstrap")
