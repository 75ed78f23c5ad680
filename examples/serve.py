# %% [markdown]
# # Ask a service
#
# `hyperloader serve` loads a tagger once and answers many programs, texts of all of them batched
# together. It is started here on any free port; usually it runs somewhere else, and `Client` is
# all that a program needs.

# %%
import re
import signal
import subprocess
import sys

from hyperloader.client import Client

command = [sys.executable, "-m", "hyperloader", "serve", "--port", "0"]
service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
assert service.stderr is not None
for line in service.stderr:
    if found := re.search(r"http://127\.0\.0\.1:\d+", line):
        break

# %% [markdown]
# A client has the methods of a `Tagger`, and gives the same values.

# %%
client = Client(found[0])
print(client.tasks)
print(client.tag("any good thai place near the harbour", task="restaurant"))
for tagged in client.pipe(["a table for two", "a cheap place"], "restaurant"):
    print([(span.label, span.text) for span in tagged.spans])

# %% [markdown]
# On SIGTERM it answers what it has accepted, and ends.

# %%
service.send_signal(signal.SIGTERM)
service.communicate()
print("ended with", service.returncode)
