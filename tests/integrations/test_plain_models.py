"""One task exported for transformers and PEFT, loaded and run by these libraries."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForTokenClassification, PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoModelForTokenClassification
from transformers import pipeline as real_pipeline

from bert_helpers import POSITIONS, bert_encoder, bert_tagger, bert_tokenizer, tag_logits
from helpers import tiny_codec, tiny_model
from hyperloader import pipeline
from hyperloader.errors import ConfigError
from hyperloader.integrations.peft import save_peft
from hyperloader.integrations.plain_model import save_merged
from hyperloader.tagger import Tagger
from training_helpers import cli, corpora, refused

WORDS = ["switch", "on", "the", "lamp", "in", "the", "kitchen", "at", "seven"]
IDS = torch.tensor([[2, 40, 41, 42, 43, 3], [2, 44, 45, 3, 0, 0]])
MASK = (IDS != 0).long()


def encoder_tagger(tasks: int = 2, **config: Any) -> Tagger:
    """A random tagger on a BERT, whose layer norms are not those of the backbone any more."""
    tagger = bert_tagger(tasks, **config)
    change_norms(tagger.model)
    return tagger


def change_norms(model: Any) -> None:
    with torch.no_grad():
        for name in model.trainable_names():
            if name.startswith("backbone."):
                dict(model.named_parameters())[name].add_(0.1)


def logits(tagger: Tagger, task: str) -> torch.Tensor:
    """What the tagger's own model says of the tokens IDS."""
    model = tagger.model
    places = torch.arange(IDS.shape[1]).expand_as(IDS)
    with torch.no_grad():
        return model(IDS, MASK, task_ids=model.task_ids(task), first=places).logits


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    tags = theirs.shape[-1]
    assert ours[..., tags:].isinf().all()
    torch.testing.assert_close(ours[..., :tags], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [{"method": "hyperlora"}, {"method": "lora", "lora_alpha": 3.0}, {"method": "full"}],
    ids=lambda config: config["method"],
)
def test_an_encoder_becomes_a_model_for_token_classification(config: Any, tmp_path: Path) -> None:
    tagger = encoder_tagger(2 if config["method"] == "hyperlora" else 1, **config)
    save_merged(tagger, tmp_path / "plain", "home")
    plain, report = AutoModelForTokenClassification.from_pretrained(
        tmp_path / "plain", output_loading_info=True
    )
    assert not any(report.values()), report
    assert [plain.config.id2label[i] for i in range(plain.num_labels)] == list(
        tagger.codec.tags["home"]
    )
    with torch.no_grad():
        assert_same(logits(tagger, "home"), plain(IDS, attention_mask=MASK).logits)


def test_a_t5_becomes_a_t5(tmp_path: Path) -> None:
    codec = tiny_codec()
    tagger = Tagger(tiny_model(codec, random=True, method="hyperlora"), codec)
    change_norms(tagger.model)
    save_merged(tagger, tmp_path / "plain", "music", precision="float32")
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "plain")
    with torch.no_grad():
        model = tagger.model
        ours = model(IDS, MASK, task_ids=model.task_ids("music"), labels=IDS).logits
        torch.testing.assert_close(
            ours, plain(IDS, attention_mask=MASK, labels=IDS).logits, rtol=1e-4, atol=1e-4
        )


def test_transformers_pipeline_finds_the_same_in_the_merged_model(tmp_path: Path) -> None:
    """Word for word where the tagger takes each word's likeliest tag, as transformers does."""
    tagger = encoder_tagger(method="hyperlora", tags="single")
    save_merged(tagger, tmp_path / "plain", "home")
    text, found = " ".join(WORDS), 0
    for task_strategy in ("first", "simple", "max", "average"):
        theirs = real_pipeline(
            "token-classification", str(tmp_path / "plain"), aggregation_strategy=task_strategy
        )
        ours = pipeline("home", tagger, aggregation_strategy=task_strategy)
        one, other = ours(text), theirs(text)
        assert isinstance(ours([text, text]), type(theirs([text, text])))
        assert all(list(entry) == list(other[0]) for entry in one)
        if task_strategy == "first":
            places = [(e["entity_group"], e["start"], e["end"]) for e in one]
            assert places == [(e["entity_group"], e["start"], e["end"]) for e in other]
            found = len(places)
    assert found
    theirs = real_pipeline("token-classification", str(tmp_path / "plain"), ignore_labels=[])
    texts = [text, *(" ".join(e.words[:5]) for e in corpora()["home"].splits["test"])]
    assert len(theirs("lamp " * 100)) == POSITIONS - 2  # cut off, where it would break else
    same = 0
    for raw, words in zip(
        theirs(texts), pipeline("home", tagger, ignore_labels=[])(texts), strict=True
    ):
        assert list(words[0]) == list(raw[0])
        first = {entry["start"]: entry for entry in raw}
        for entry in words:
            other = first[entry["start"]]
            assert entry["entity"][2:] == other["entity"][2:]
            if entry["entity"] == other["entity"]:  # an I without its B begins a span
                assert entry["score"] == pytest.approx(float(other["score"]), abs=1e-4)
                same += 1
    assert same > 5
    types = {key: float if key == "score" else type(value) for key, value in raw[0].items()}
    assert {key: type(value) for key, value in words[0].items()} == types


@pytest.mark.parametrize("method", ["hyperlora", "lora"])
def test_peft_loads_an_encoders_lora(method: str, tmp_path: Path) -> None:
    tagger = encoder_tagger(2 if method == "hyperlora" else 1, method=method, lora_alpha=3.0)
    save_peft(tagger, tmp_path / "peft", "home")
    base = AutoModelForTokenClassification.from_pretrained(tmp_path / "peft" / "base")
    model = PeftModel.from_pretrained(base, str(tmp_path / "peft")).eval()
    with torch.no_grad():
        assert_same(logits(tagger, "home"), model(IDS, attention_mask=MASK).logits)


def test_peft_finds_a_backbone_that_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tagger = encoder_tagger(method="hyperlora")
    tagger.model.backbone_name = "owner/bert"  # as on the Hub: nothing of that name is here yet
    save_peft(tagger, "peft", "home")
    assert not Path("peft/base").exists()
    bert_encoder().save_pretrained("owner/bert")
    model = AutoPeftModelForTokenClassification.from_pretrained(
        "peft", num_labels=len(tagger.codec.tags["home"])
    ).eval()
    with torch.no_grad():
        assert_same(logits(tagger, "home"), model(IDS, attention_mask=MASK).logits)


def test_peft_loads_a_t5s_lora(tmp_path: Path) -> None:
    codec = tiny_codec()
    tagger = Tagger(tiny_model(codec, random=True, method="hyperlora"), codec)
    change_norms(tagger.model)
    save_peft(tagger, tmp_path / "peft", "music")
    base = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "peft" / "base")
    model = PeftModel.from_pretrained(base, str(tmp_path / "peft")).eval()
    with torch.no_grad():
        ours = tagger.model(IDS, MASK, task_ids=tagger.model.task_ids("music"), labels=IDS)
        theirs = model(input_ids=IDS, attention_mask=MASK, labels=IDS)
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["hyperloader", "adapter", "unipelt-bert"])
def test_what_is_not_lora_alone_is_refused(method: str, tmp_path: Path) -> None:
    tagger = encoder_tagger(2 if method == "hyperloader" else 1, method=method)
    for save in (save_merged, save_peft):
        with pytest.raises(ConfigError, match=f"'{method}'.*export it as a checkpoint"):
            save(tagger, tmp_path / "no", "home")
    assert not (tmp_path / "no").exists()


def test_whole_backbones_and_named_tasks_are_refused(tmp_path: Path) -> None:
    tagger = encoder_tagger(1, method="lora", train_backbone="all")
    with pytest.raises(ConfigError, match=r"changed all of its backbone.*--merged"):
        save_peft(tagger, tmp_path / "no")
    save_merged(tagger, tmp_path / "yes")
    tagger = encoder_tagger(1, method="full")
    tagger.codec.config = tagger.codec.config.model_copy(update={"task_prefix": True})
    with pytest.raises(ConfigError, match="told the task in it"):
        save_merged(tagger, tmp_path / "no")
    with pytest.raises(ConfigError, match=r"loaded for tagging alone.*tagging_only=False"):
        save_merged(Tagger.from_pretrained("builtin-t5"), tmp_path / "no", "movie")


def test_the_command_line_exports_one_task(tmp_path: Path) -> None:
    encoder_tagger(method="hyperlora").save_pretrained(tmp_path / "run")
    run = tmp_path / "run"
    done = cli("export", run, tmp_path / "plain", "--merged", "--task", "home")
    assert done.code == 0, done
    assert "task home" in done.out
    done = cli("export", run, tmp_path / "peft", "--peft", "--task", "home")
    assert done.code == 0, done
    about = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert about["peft_type"] == "LORA"
    done = cli("export", run, tmp_path / "peft", "--peft", "--task", "dining", "--overwrite")
    assert done.code == 0, done
    for options, problem in (
        (("--peft",), "give a task (one of: dining, home)"),
        (("--merged", "--peft", "--task", "home"), "choose one of --onnx, --merged and --peft"),
        (("--merged", "--task", "home", "--task", "dining"), "holds one task"),
        (("--peft", "--task", "home", "--license", "mit"), "no model card"),
        (("--peft", "--task", "home", "--precision", "bfloat16"), "float32"),
        (("--merged", "--task", "house"), "unknown task 'house'; did you mean 'home'"),
        (("--merged", "--whole", "--task", "home"), "leave --whole out"),
    ):
        assert problem in refused("export", run, tmp_path / "new", *options)
    assert not (tmp_path / "new").exists()
    assert "holds a PEFT adapter" in refused(
        *("export", run, tmp_path / "peft", "--merged", "--task", "home", "--overwrite")
    )


def test_the_words_it_sees_are_the_taggers(tmp_path: Path) -> None:
    """The golden comparison above is about tokens; this one is about a sentence."""
    tagger = encoder_tagger(method="hyperlora")
    save_merged(tagger, tmp_path / "plain", "home")
    plain = AutoModelForTokenClassification.from_pretrained(tmp_path / "plain")
    ids = bert_tokenizer()(" ".join(WORDS), return_tensors="pt")
    with torch.no_grad():
        theirs = plain(**ids).logits[0]
    first = [ids.word_ids().index(i) for i in range(len(WORDS))]
    assert_same(tag_logits(tagger.model, tagger.codec, WORDS, "home"), theirs[first])
