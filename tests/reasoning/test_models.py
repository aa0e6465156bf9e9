"""A real HTTP server on this machine, and a real transformers model of a few thousand numbers."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from spatialcode.config import load_config
from spatialcode.errors import ConfigError, ModelError
from spatialcode.reasoning.models.endpoint import OpenAICompatible
from spatialcode.reasoning.models.loading import ModelSpec, load_model
from spatialcode.reasoning.models.local import STYLE_FILE, HuggingFaceModel, prompt_style
from spatialcode.reasoning.prompts import Message, Prompt, estimate_tokens

KEY = "sk-very-secret-123"


def prompt(text, system="be short"):
    return Prompt((Message("system", system), Message("user", text)), 10)


class Handler(BaseHTTPRequestHandler):
    """Does what the user's message says; counts how often it was asked each thing."""

    asked: ClassVar[dict[str, int]] = {}
    bodies: ClassVar[list[dict]] = []
    lock = threading.Lock()
    release = threading.Event()
    under_way = 0
    most_under_way = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wish = body["messages"][-1]["content"]
        with Handler.lock:
            Handler.bodies.append(body)
            count = Handler.asked[wish] = Handler.asked.get(wish, 0) + 1
        if self.path != "/v1/chat/completions":
            return self.reply(404, {"error": {"message": f"no {self.path}"}})
        if self.headers["Authorization"] not in (f"Bearer {KEY}", "Bearer none"):
            got = self.headers["Authorization"]
            return self.reply(401, {"error": {"message": f"bad key {got}"}})
        if wish == "busy once" and count == 1:
            return self.reply(429, {"error": {"message": "slow down"}})
        if wish == "broken once" and count == 1:
            return self.reply(503, {"error": {"message": "restarting"}})
        if wish == "broken":
            return self.reply(500, {"error": {"message": "always"}})
        if wish == "hang":
            Handler.release.wait(5)
            return None
        if wish == "garbage":
            return self.reply(200, "{this is no JSON")
        if wish == "no choice":
            return self.reply(200, {"id": "1", "object": "chat.completion", "choices": []})
        if wish.startswith("wait"):
            with Handler.lock:
                Handler.under_way += 1
                Handler.most_under_way = max(Handler.most_under_way, Handler.under_way)
            time.sleep(0.05)
            with Handler.lock:
                Handler.under_way -= 1
        content = None if wish == "silent" else f"{wish}!"
        reason = "length" if wish in ("cut", "silent") else "stop"
        choice = {
            "index": 0, "finish_reason": reason,
            "message": {"role": "assistant", "content": content},
        }  # fmt: skip
        return self.reply(200, {
            "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        })  # fmt: skip

    def reply(self, status, document):
        body = (document if isinstance(document, str) else json.dumps(document)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("retry-after-ms", "10")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def url(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    Handler.asked, Handler.bodies = {}, []
    Handler.under_way = Handler.most_under_way = 0
    Handler.release.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    Handler.release.set()
    server.shutdown()
    server.server_close()


def endpoint(base_url, model="qwen", **settings):
    return OpenAICompatible(ModelSpec(base_url=base_url, model=model, **settings))


def test_an_endpoint_answers_in_order(url):
    model = endpoint(url, max_tokens=5, temperature=0.25, concurrency=3)
    prompts = [prompt(f"wait {n}") for n in range(9)]
    completions = model.complete(prompts)
    assert [c.text for c in completions] == [f"wait {n}!" for n in range(9)]
    assert {(c.num_prompt_tokens, c.num_tokens, c.truncated, c.error) for c in completions} == {
        (7, 3, False, None)
    }
    assert 1 < Handler.most_under_way <= 3
    body = Handler.bodies[0]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("qwen", 5, 0.25)
    assert body["messages"][0] == {"role": "system", "content": "be short"}
    assert "stream" not in body
    assert model.complete([]) == []


def test_what_passes_is_tried_again_and_what_stays_is_an_error(url):
    model = endpoint(url, timeout_s=0.3, max_retries=1, concurrency=8)
    wishes = ["busy once", "broken once", "broken", "hang", "garbage", "no choice", "cut", "silent"]
    found = dict(zip(wishes, model.complete([prompt(w) for w in wishes]), strict=True))
    assert (found["busy once"].text, found["busy once"].error) == ("busy once!", None)
    assert (found["broken once"].text, found["broken once"].error) == ("broken once!", None)
    assert "always" in found["broken"].error
    assert "Timeout" in found["hang"].error
    assert found["hang"].seconds >= 0.6  # two attempts of 0.3 s
    assert found["garbage"].error
    assert "with a choice" in found["no choice"].error
    assert (found["cut"].truncated, found["cut"].error) == (True, None)
    assert (found["silent"].text, found["silent"].truncated) == ("", True)
    assert all(found[w].text == "" for w in ("broken", "hang", "garbage", "no choice"))
    tries = {w: Handler.asked[w] for w in wishes}
    assert tries == {
        "busy once": 2, "broken once": 2, "broken": 2, "hang": 2, "garbage": 1, "no choice": 1,
        "cut": 1, "silent": 1,
    }  # fmt: skip


def test_the_key_is_sent_and_never_shown(url, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("SPATIALCODE_TEST_KEY", KEY)
    model = endpoint(url, api_key_env="SPATIALCODE_TEST_KEY", max_retries=0)
    assert model.complete([prompt("hello")])[0].text == "hello!"
    monkeypatch.setenv("SPATIALCODE_TEST_KEY", "sk-another-999")
    refused = model.complete([prompt("hello")])[0]  # the server quotes the key back
    assert "bad key" in refused.error
    assert "***" in refused.error
    assert "sk-another-999" not in refused.error
    assert "sk-" not in repr(model) + caplog.text


def test_nobody_there_is_an_error_of_every_prompt(url):
    model = endpoint(url.replace("/v1", "/v2"), max_retries=0)
    assert [bool(c.error) for c in model.complete([prompt("a"), prompt("b")])] == [True, True]
    closed = endpoint("http://127.0.0.1:9/v1", max_retries=0, timeout_s=2)
    assert "Connection" in closed.complete([prompt("a")])[0].error


@pytest.mark.parametrize(
    ("settings", "error", "names"),
    [
        ({"base_url": "localhost:8000"}, ModelError, "base_url"),
        ({"base_url": "ftp://x/v1"}, ModelError, "base_url"),
        ({"model": ""}, ModelError, "model"),
        ({"api_key_env": "SPATIALCODE_NO_SUCH"}, ModelError, "SPATIALCODE_NO_SUCH is not set"),
        ({"concurrency": 0}, ConfigError, "concurrency"),
        ({"temperature": -1.0}, ConfigError, "temperature"),
        ({"timeout_s": 0.0}, ConfigError, "timeout_s"),
        ({"max_tokens": 0}, ConfigError, "max_tokens"),
    ],
)
def test_an_endpoint_that_is_not_set_up(settings, error, names):
    with pytest.raises(error, match=names):
        endpoint(**{"base_url": "http://h/v1", "model": "m", **settings})


WORDS = ["Answer:", "chair", "table", "sofa", "is", "at", "left", "right", "one", "two", "tv"]
TEXTS = ["chair is left", "the tv is at two chair chair sofa table", "one", "two right tv"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Qwen3 of one layer, 16 wide, with a tokenizer trained on three lines, saved to disk."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    core = Tokenizer(BPE())
    core.pre_tokenizer = ByteLevel(add_prefix_space=False)
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder

    core.decoder = ByteLevelDecoder()
    special = ["<pad>", "<end>"]
    trainer = BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")
    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=128,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.8,  # so wide that words differ clearly and rounding decides nothing
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tiny")
    model = Qwen3ForCausalLM(config)
    # what a published model may ship: it must not leak into greedy decoding
    model.generation_config.repetition_penalty = 1.3
    model.generation_config.do_sample = True
    model.generation_config.top_k = 5
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def greedy(path, ids, num_new):
    """One token after the other, no padding, no cache, no generate: the oracle."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    ids, made = list(ids), []
    for _ in range(num_new):
        with torch.no_grad():
            best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        made.append(best)
        ids.append(best)
        if best == model.config.eos_token_id:
            break
    return made


def local(path, **settings):
    return HuggingFaceModel(path, ModelSpec(device="cpu", dtype="float32", **settings))


def test_greedy_is_the_argmax_of_every_step_also_in_a_padded_batch(folder):
    model = local(folder, max_tokens=12, batch_size=4)
    prompts = [prompt(text, system="sofa") for text in TEXTS]
    lengths = {len(model.prompt_ids(one)) for one in prompts}
    assert len(lengths) > 2  # so the batch is padded
    for one, completion in zip(prompts, model.complete(prompts), strict=True):
        expected = greedy(folder, model.prompt_ids(one), 12)
        assert completion.text == model.tokenizer.decode(expected, skip_special_tokens=True)
        assert completion.num_tokens == len(expected)
        assert completion.num_prompt_tokens == len(model.prompt_ids(one))
        assert completion.error is None


def test_a_batch_gives_what_single_prompts_give(folder):
    prompts = [prompt(text) for text in [*TEXTS, *TEXTS[::-1]]]
    alone = [local(folder, max_tokens=9, batch_size=1).complete([one])[0] for one in prompts]
    together = local(folder, max_tokens=9, batch_size=3).complete(prompts)
    assert [c.text for c in together] == [c.text for c in alone]
    assert together[0].text == together[-1].text  # the same prompt twice


def test_truncation_is_said(folder):
    model = local(folder, max_tokens=6)
    cut = model.complete([prompt("chair")])[0]
    assert (cut.truncated, cut.num_tokens) == (True, 6)
    written = greedy(folder, model.prompt_ids(prompt("chair")), 6)
    model.end_ids = [written[2]]  # from now on this word ends a text
    first = written.index(written[2])
    ended = model.complete([prompt("chair")])[0]
    assert (ended.truncated, ended.num_tokens) == (False, first + 1)


def test_sampling_is_repeatable_by_seed(folder):
    import torch

    before = torch.random.get_rng_state()
    draws = [
        local(folder, max_tokens=8, temperature=1.0, seed=seed).complete([prompt("chair")])[0].text
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_prompt_beyond_the_context_is_an_error_of_its_own(folder):
    model = local(folder, max_tokens=8)
    fine, long = model.complete([prompt("chair"), prompt("chair " * 200)])
    assert fine.error is None
    assert "at most 128 tokens" in long.error
    assert long.num_prompt_tokens > 128


def test_a_chat_template_is_used_where_there_is_one(folder):
    model = local(folder)
    plain = "system: sofa\nuser: tv\nassistant:"
    assert model.tokenizer.decode(model.prompt_ids(prompt("tv", "sofa"))) == plain
    model.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}"
        "{% if add_generation_prompt %}[assistant|{{ enable_thinking }}{% endif %}"
    )
    shown = model.tokenizer.decode(model.prompt_ids(prompt("tv", "sofa")))
    assert shown == "[system|sofa][user|tv][assistant|False"
    assert model.count_tokens(plain) == len(model.tokenizer(plain)["input_ids"])


def test_a_model_that_is_not_there_names_its_folder(tmp_path, folder):
    with pytest.raises(ModelError, match="nowhere"):
        HuggingFaceModel(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="model"):
        load_model(ModelSpec())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="empty"):
        HuggingFaceModel(empty)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in folder.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "model.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(ModelError, match="damaged"):
        HuggingFaceModel(damaged)


def test_a_model_with_half_its_weights_is_refused(tmp_path, folder):
    from safetensors.torch import load_file, save_file

    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="up_proj"):
        HuggingFaceModel(tmp_path)


def test_weights_in_a_pickle_are_refused(tmp_path, folder):
    import torch

    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        HuggingFaceModel(tmp_path)


def test_a_gpu_that_is_not_there_is_said(folder):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ModelError, match="cuda"):
        HuggingFaceModel(folder, ModelSpec(device="cuda"))


def test_a_spec_leads_to_either_kind(folder, url):
    spec = load_config(ModelSpec, None, [f"model={folder}", "device=cpu", "max_tokens=3"])
    assert isinstance(load_model(spec), HuggingFaceModel)
    there = load_model(ModelSpec(model="qwen", base_url=url))
    assert isinstance(there, OpenAICompatible)
    assert there.count_tokens("chair") == estimate_tokens("chair") == 2  # five letters, by threes


@pytest.mark.parametrize(
    ("said", "message"), [('{"prompt_style": "verse"}', "verse"), ("{", "not JSON"), ("[]", "None")]
)
def test_a_prompt_style_that_is_none_is_refused(tmp_path, said, message):
    assert prompt_style(tmp_path) == "full"
    (tmp_path / STYLE_FILE).write_text('{"prompt_style": "compact"}')
    assert prompt_style(tmp_path) == "compact"
    (tmp_path / STYLE_FILE).write_text(said)
    with pytest.raises(ModelError, match=message):
        prompt_style(tmp_path)
