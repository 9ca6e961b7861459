"""The commands of `pixdepot`, by what they are about; `terminal.py` is how all of them speak."""
