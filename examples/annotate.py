"""Annotate a table: every row with its spans, in shards. Run it again: what is done stays."""

import csv
from pathlib import Path

from hyperloader.annotating.run import annotate


def main() -> None:
    texts = ["any good thai place near the harbour", "cheap pizza open after ten"] * 50
    with Path("reviews.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "review"], *enumerate(texts)])
    manifest = annotate(
        ["reviews.csv"],
        out="annotated",
        task="restaurant",
        text_column="review",
        workers=1,
        shard_rows=60,
    )
    print(manifest["rows"], "rows", manifest["spans"], "spans")
    for each in manifest["outputs"]:
        print(each["output"], each["rows"])


if __name__ == "__main__":  # the workers are processes that import this file
    main()
