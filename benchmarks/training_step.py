"""A training step of HyperLoader against free adapters and LoRA, and full fine-tuning.

Run: python benchmarks/training_step.py [--shape t5-small] [--json FILE]; it is the command
``hyperloader benchmark train``, whose --help names all options.
"""

import typer

from hyperloader.cli.benchmark import train

if __name__ == "__main__":
    typer.run(train)
