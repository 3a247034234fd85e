"""Writes golden values of training all weights: PyTorch's, computed in float64 from float32 weights, without PEFT.
usage: python make_full_golden.py OUT_DIR
Makes tiny-qwen2-full (tied embeddings, biases), tiny-llama-full (head of its own) and tiny-qwen3-full (q/k norms): model, a padded batch and
its gradients, four AdamW steps with clipping, weight decay for what transformers' Trainer decays, and the weights after them.
The pad token also stands inside the text: torch's padding_idx keeps its row of the embedding from learning there."""
import sys, json, os, torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, LlamaConfig, LlamaForCausalLM, Trainer
from transformers import get_cosine_schedule_with_warmup

out = sys.argv[1]
V, T, STEPS, PAD = 160, 20, 4, 5
for name, C, M, seed, tie in [
    ('tiny-qwen2-full', Qwen2Config, Qwen2ForCausalLM, 71, True),
    ('tiny-llama-full', LlamaConfig, LlamaForCausalLM, 81, False),
    ('tiny-qwen3-full', Qwen3Config, Qwen3ForCausalLM, 91, True),
]:
    d = os.path.join(out, name)
    os.makedirs(d, exist_ok=True)
    torch.manual_seed(seed)
    more = {'head_dim': 12} if C is Qwen3Config else {}
    c = C(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40, vocab_size=V,
          max_position_embeddings=128, tie_word_embeddings=tie, rms_norm_eps=1e-6, initializer_range=0.15,
          bos_token_id=1, eos_token_id=2, pad_token_id=PAD, rope_parameters={'rope_type': 'default', 'rope_theta': 10000.0}, **more)
    m = M(c).float()
    with torch.no_grad():
        for n, p in m.named_parameters():
            if 'norm' in n: p.add_(torch.randn_like(p) * 0.1)
            if n.endswith('bias'): p.copy_(torch.randn_like(p) * 0.2)
    m.save_pretrained(d)
    m = M.from_pretrained(d, dtype=torch.float64, attn_implementation='eager')
    weights = lambda value: {n: value(p).float().clone().contiguous() for n, p in m.named_parameters()}

    g = torch.Generator().manual_seed(seed + 1)
    lens = [T, 13, 7]
    ids = torch.randint(3, V, (3, T), generator=g)
    ids[:, 4] = PAD
    att = torch.zeros(3, T, dtype=torch.long)
    lab = torch.full((3, T), -100)
    for b, n in enumerate(lens):
        att[b, :n] = 1; ids[b, n:] = 0; s = n // 3; lab[b, s:n] = ids[b, s:n]
    o = m(input_ids=ids, attention_mask=att, labels=lab)
    o.loss.backward()
    save_file({'input_ids': ids, 'attention_mask': att, 'labels': lab, 'logits': (o.logits * att[..., None]).detach().float().contiguous()}, os.path.join(d, 'batch.safetensors'))
    save_file(weights(lambda p: p.grad), os.path.join(d, 'gradients.safetensors'))

    decaying = set(Trainer.get_decay_parameter_names(None, m))
    groups = [{'params': [p for n, p in m.named_parameters() if n in decaying], 'weight_decay': 0.1},
              {'params': [p for n, p in m.named_parameters() if n not in decaying], 'weight_decay': 0.0}]
    opt = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.999), eps=1e-8)
    sch = get_cosine_schedule_with_warmup(opt, 1, STEPS)
    losses, norms, steps = [], [], []
    for s in range(STEPS):
        x = torch.randint(3, V, (2, 12), generator=g); steps.append(x)
        m.zero_grad(); l = m(input_ids=x, labels=x).loss; l.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0).item())
        opt.step(); sch.step(); losses.append(l.item())
    save_file(weights(lambda p: p.detach()), os.path.join(d, 'weights_after_4_steps.safetensors'))
    save_file({'input_ids': torch.stack(steps)}, os.path.join(d, 'training_batches.safetensors'))
    training = {'lr': 3e-3, 'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0.1, 'max_grad_norm': 1.0,
                'schedule': f'cosine, 1 warm-up steps of {STEPS}', 'losses': losses, 'gradient_norms': norms,
                'not_decaying': sorted(n for n, _ in m.named_parameters() if n not in decaying)}
    json.dump({'loss': o.loss.item(), 'training': training}, open(os.path.join(d, 'expected.json'), 'w'), indent=1)
    print(name, 'loss', o.loss.item(), 'end', losses[0], losses[-1])
