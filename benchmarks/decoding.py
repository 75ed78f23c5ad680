"""The decoder against Hugging Face generate and one teacher-forced pass, in one run.

Run: python benchmarks/decoding.py [--shape t5-base] [--json FILE] [--plot FILE]; it is the command
``hyperloader benchmark decode``, whose --help names all options.
"""

import typer

from hyperloader.cli.benchmark import decode

if __name__ == "__main__":
    typer.run(decode)
