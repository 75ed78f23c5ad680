# %% [markdown]
# # Tag texts with the bundled tagger
#
# `Tagger.from_pretrained()` loads the best tagger that is installed. The folder of a run does as
# well, or `owner/name` on the Hub.

# %%
from hyperloader import Tagger

tagger = Tagger.from_pretrained()
print(tagger.tasks)

# %% [markdown]
# Raw text goes in. Each span has its label, its place in the text, and how likely it is that this
# very span is there.

# %%
tagged = tagger.tag("any good thai place near the harbour", task="restaurant")
for span in tagged.spans:
    print(f"{span.text!r} is a {span.label} ({span.score:.2f}), characters {span.start}:{span.end}")

# %% [markdown]
# A stream of rows: each text takes along what belongs to it, here its row.

# %%
rows = [{"id": 1, "text": "a table for two at noon"}, {"id": 2, "text": "cheap pizza downtown"}]
for tagged, row in tagger.pipe(((row["text"], row) for row in rows), "restaurant", as_tuples=True):
    print(row["id"], [(span.label, span.text) for span in tagged.spans])

# %% [markdown]
# Text that is split into words already, and another of the tasks:

# %%
print(tagger.tag_words(["play", "some", "jazz"], task="snips"))
