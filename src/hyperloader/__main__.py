"""``python -m hyperloader``: the command line."""

from hyperloader.cli import run

if __name__ == "__main__":
    run()
