# %% [markdown]
# # Train on your own sentences
#
# A corpus is a folder with files in any of the usual formats (CoNLL, JSONL, CSV, brat, ...), or a
# mapping such as this one. These sentences are made up and the training is far too short: leave
# out `recipe` and `steps`, and the best installed backbone learns for as long as its recipe says.

# %%
import hyperloader

CITIES = ("oslo", "lima", "cairo", "quito", "turin", "osaka")
sentences = [
    {"text": f"fly me to {city}", "spans": [{"start": 10, "end": 10 + len(city), "label": "city"}]}
    for city in CITIES * 4
]

tagger = hyperloader.train(
    {"travel": {"train": sentences, "test": sentences[:6]}},
    out="runs/travel",
    recipe="quickstart",
    steps=20,
    calibrate=False,
    progress=False,
)

# %% [markdown]
# The folder of the run keeps the data as they were used, so that scores can be had again:

# %%
scores = tagger.evaluate("runs/travel/data")
print("F1", round(scores.average["default"]["f1"], 2))

# %% [markdown]
# Saved without what only training needs, the tagger is a folder to copy, or to push to the Hub.

# %%
tagger.save_pretrained("travel-tagger")
again = hyperloader.Tagger.from_pretrained("travel-tagger")
print(again.tag("fly me to quito"))
