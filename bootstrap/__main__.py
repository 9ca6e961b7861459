"""`python -m bootstrap` is `pixdepot bootstrap`."""

from pixdepot.commands.setting_up import bootstrap

if __name__ == "__main__":
    bootstrap(prog_name="python -m bootstrap")
