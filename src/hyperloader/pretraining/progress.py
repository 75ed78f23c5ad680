"""What a pre-training run shows while it runs."""

from hyperloader.training.progress import StepProgress


class PretrainingProgress(StepProgress):
    """The bar of a pre-training run, with a line for each evaluation."""

    title = "pre-training"
    unit = "tokens"

    def measured(self, step: int, found: dict[str, float], tokens: int, speed: float) -> None:
        """Print one line for an evaluation."""
        parts = ", ".join(
            f"{key.removesuffix('_loss')} {value:.4f}"
            for key, value in found.items()
            if key.endswith("_loss")
        )
        self.console.print(
            f"step {step:,}  held-out loss {found['loss']:.4f} ({parts})  "
            f"aligned: hidden words {found['hidden_words']:.1%}, copy {found['copy']:.1%}  "
            f"{tokens:,} tokens, {speed:,.0f} tokens/s"
        )
