"""Loads Temper's exports in the programs that they are meant for and prints one JSON object of what it found:
errors are the largest difference over the largest magnitude.

usage: python check_exports.py FOLDER     FOLDER holds base/, adapter/, merged/, model.gguf, batch.safetensors (golden input_ids,
attention_mask, logits of base + adapter) and texts.json ([{text, ids}] as Temper's tokenizer has them)
needs: the packages of requirements.txt
"""
import json, os, sys, warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)
folder = sys.argv[1]
at = lambda name: os.path.join(folder, name)
batch, texts = load_file(at("batch.safetensors")), json.load(open(at("texts.json"), encoding="utf-8"))
mask = batch["attention_mask"][..., None]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits * mask


error = lambda actual, expected: ((actual - expected).abs().max() / expected.abs().max()).item()
load = lambda path, **more: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **more)
out = {}
adapted = PeftModel.from_pretrained(load(at("base")), at("adapter"))
out["peft_logits"] = error(logits(adapted), batch["logits"])
unloaded = adapted.merge_and_unload().state_dict()
merged = AutoModelForCausalLM.from_pretrained(at("merged"), dtype="auto")
state = merged.state_dict()
out["merged_dtype"] = str(merged.dtype)
out["merged_logits"] = error(logits(merged), batch["logits"])
out["merged_weights"] = max(error(state[name], unloaded[name]) for name in state)

# The GGUF twice: its tensors and keys by gguf-py, its meaning by transformers' own reader.
reader = GGUFReader(at("model.gguf"))
out["gguf_types"] = sorted({tensor.tensor_type.name for tensor in reader.tensors})
out["gguf_chat_template"] = reader.fields["tokenizer.chat_template"].contents()
again = load(folder, gguf_file="model.gguf")
out["gguf_logits"] = error(logits(again), batch["logits"])
# What Q8_0 itself costs: the merged model with gguf-py's own quantisation of every matrix must be this model, bit for bit.
with torch.no_grad():
    for parameter in merged.parameters():
        if parameter.dim() == 2:
            q8 = quantize(parameter.detach().numpy(), GGMLQuantizationType.Q8_0)
            parameter.copy_(torch.from_numpy(dequantize(q8, GGMLQuantizationType.Q8_0)))
quantized, written = merged.state_dict(), again.state_dict()
out["gguf_differs_from_q8"] = [name for name in quantized if not torch.equal(quantized[name], written[name])]
out["gguf_logits_from_q8"] = error(logits(again), logits(merged))

tokenizer = AutoTokenizer.from_pretrained(at("merged"))
out["tokens_differ"] = [c["text"] for c in texts if tokenizer.encode(c["text"], add_special_tokens=False) != c["ids"]]
out["eos"] = tokenizer.eos_token
out["chat"] = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
print(json.dumps(out))
