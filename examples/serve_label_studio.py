# %% [markdown]
# # A backend for Label Studio
#
# Connect a project's model to `http://127.0.0.1:9090/TASK`, such as `/restaurant`: every sentence
# to be labelled comes with the tagger's answers filled in. `hyperloader serve` has the same under
# `/label-studio/TASK`.

# %%
from hyperloader import Tagger
from hyperloader.integrations.label_studio import app

server = app(Tagger.from_pretrained())

# %%
if __name__ == "__main__":
    import uvicorn

    uvicorn.run(server, host="127.0.0.1", port=9090)
