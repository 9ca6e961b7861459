"""`python -m service` is `pixdepot serve`."""

from pixdepot.commands.serving import serve

if __name__ == "__main__":
    serve(prog_name="python -m service")
