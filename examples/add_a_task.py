# %% [markdown]
# # Add a task to a trained tagger
#
# A new task gets an embedding, a head and a little of its own; everything else stays as it is, so
# the old tasks answer as before, to the last bit. A hundred sentences are enough to begin with;
# here it is twenty-four, made up, and fewer steps than the default.

# %%
import hyperloader

CITIES = ("oslo", "lima", "cairo", "quito", "turin", "osaka")
sentences = [
    {"text": f"fly me to {city}", "spans": [{"start": 10, "end": 10 + len(city), "label": "city"}]}
    for city in CITIES * 4
]
old = hyperloader.Tagger.from_pretrained()
before = old.tag("any good thai place near the harbour", task="restaurant")

grown = hyperloader.add_task(
    old, {"travel": {"train": sentences}}, out="grown-tagger", steps=20, progress=False
)
print(grown.tag("fly me to turin", task="travel"))

# %% [markdown]
# What the old tasks say has not changed, scores included:

# %%
print(grown.tag("any good thai place near the harbour", task="restaurant") == before)

# %% [markdown]
# The task is a small folder of its own, which fits any tagger that shares its model. A tagger
# takes it while it works, and lets it go again.

# %%
grown.save_task("travel", "travel-task")
old.add("travel-task")
print(old.tag("fly me to lima", task="travel"))
old.remove("travel")
