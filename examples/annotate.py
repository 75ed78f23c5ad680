# %% [markdown]
# # Annotate a table
#
# Every row comes out with its spans, in shards that are written whole or not at all. Run it again
# after a stop, and it goes on where it was. Parquet, CSV, JSON lines and text are read, from a
# disk or a store such as S3.

# %%
import csv
from pathlib import Path

from hyperloader.annotating.run import annotate

# %% [markdown]
# The workers are processes that import this file; hence the function, and the last two lines.


# %%
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


# %%
if __name__ == "__main__":
    main()
