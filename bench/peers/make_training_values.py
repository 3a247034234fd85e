"""Writes what transformers and PEFT make of training's options, on a golden directory's model, adapter and batch, in float64.
usage: python make_training_values.py GOLDEN_DIR OUT_DIR   (test/fixtures/golden/tiny-qwen2 test/fixtures/training-values)
label_smoothing.safetensors: gradients of layer 0's adapter with label_smoothing_factor 0.1; loraplus.safetensors: the same tensors after
three LoRA+ steps; patterns/: an adapter with rank_pattern, alpha_pattern and rsLoRA, with its loss in expected.json."""
import json, os, sys, torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.trainer_pt_utils import LabelSmoother

golden, out = sys.argv[1:3]
os.makedirs(out, exist_ok=True)
batch = load_file(os.path.join(golden, 'batch.safetensors'))
inputs = {'input_ids': batch['input_ids'], 'attention_mask': batch['attention_mask']}
def base():
    # Not from_pretrained: it would look for an adapter's weights beside adapter_config.json.
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(golden), attn_implementation='eager').float()
    missing = model.load_state_dict(load_file(os.path.join(golden, 'model.safetensors')), strict=False)
    assert set(missing.missing_keys) <= {'lm_head.weight'} and not missing.unexpected_keys
    model.tie_weights()
    return model.double()
expected = {}

config = LoraConfig.from_pretrained(golden)
config.inference_mode = False
model = get_peft_model(base(), config).double()
start = load_file(os.path.join(golden, 'adapter_start.safetensors'))
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if 'lora_' in name: parameter.copy_(start[name.replace('.default', '')].double())
own = lambda: {n.replace('.default', ''): p for n, p in model.named_parameters() if 'lora_' in n and '.layers.0.' in n}
loss = LabelSmoother(epsilon=0.1)(model(**inputs), batch['labels'], shift_labels=True)
loss.backward()
expected['label_smoothing'] = loss.item()
save_file({n: p.grad.float().contiguous() for n, p in own().items()}, os.path.join(out, 'label_smoothing.safetensors'))

optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=5e-3, loraplus_lr_ratio=4.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, loraplus_weight_decay=0.01)
for _ in range(3):
    model.zero_grad()
    model(**inputs, labels=batch['labels']).loss.backward()
    optimizer.step()
save_file({n: p.detach().float().contiguous() for n, p in own().items()}, os.path.join(out, 'loraplus.safetensors'))

torch.manual_seed(7)
config = LoraConfig(r=4, lora_alpha=8, target_modules=['q_proj', 'v_proj', 'down_proj'], task_type='CAUSAL_LM', use_rslora=True,
                    rank_pattern={'down_proj': 2, 'layers.1.self_attn.q_proj': 3}, alpha_pattern={'layers.0.self_attn.q_proj': 5, 'v_proj': 12})
model = get_peft_model(base(), config).double()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if 'lora_' in name: parameter.copy_((torch.randn(parameter.shape) * 0.1).float().double())
expected['patterns'] = model(**inputs, labels=batch['labels']).loss.item()
model.peft_config['default'].base_model_name_or_path = 'tiny-qwen2'
model.float().save_pretrained(os.path.join(out, 'patterns'))
os.remove(os.path.join(out, 'patterns', 'README.md'))
json.dump(expected, open(os.path.join(out, 'expected.json'), 'w'), indent=1)
print(expected)
