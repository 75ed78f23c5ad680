"""Train on labelled sentences, score, save, and tag with what was saved.

Here the sentences are made up and the training is far too short; a folder with files in any known
format does as well as a mapping, and a recipe's own number of steps is the default.
"""

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
scores = tagger.evaluate("runs/travel/data")
print("F1", round(scores.average["default"]["f1"], 2))

tagger.save_pretrained("travel-tagger")
again = hyperloader.Tagger.from_pretrained("travel-tagger")
print(again.tag("fly me to quito"))
