"""Tag texts with the bundled tagger."""

from hyperloader import Tagger

tagger = Tagger.from_pretrained()  # or the folder of a run, or owner/name on the Hub

tagged = tagger.tag("any good thai place near the harbour", task="restaurant")
for span in tagged.spans:
    print(f"{span.text!r} is a {span.label} ({span.score:.2f}), characters {span.start}:{span.end}")

rows = [{"id": 1, "text": "a table for two at noon"}, {"id": 2, "text": "cheap pizza downtown"}]
for tagged, row in tagger.pipe(((row["text"], row) for row in rows), "restaurant", as_tuples=True):
    print(row["id"], [(span.label, span.text) for span in tagged.spans])

print(tagger.tag_words(["play", "some", "jazz"], task="snips"))
