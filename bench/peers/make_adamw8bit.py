"""Writes what bitsandbytes' AdamW8bit makes of eight steps on one parameter, computed on the CPU (bitsandbytes 0.50).
usage: python make_adamw8bit.py OUT.safetensors   (test/fixtures/training-values/adamw8bit.safetensors)"""
import sys, torch, bitsandbytes as bnb
from bitsandbytes.functional import create_dynamic_map
from bitsandbytes.backends.cpu import ops
from safetensors.torch import save_file

# Its CPU library finds codes in a coarse table, and not always the nearest; its generic path (for other types) takes the nearest, as its paper says.
def nearest(values, code, absmax, out, blocksize):
    codes, largest = torch.ops.bitsandbytes.quantize_blockwise(values.double(), code, blocksize)
    out.copy_(codes); absmax.copy_(largest)
ops._quant_blockwise_fp32_direct = nearest

SIZE, STEPS = 4196, 8  # More than min_8bit_size, and the last block is not full.
i = torch.arange(SIZE, dtype=torch.int64)
start = (((i * 7919) % 2001 - 1000).double() / 1000).float()
def gradient(step):
    value = ((i * 104729 + step * 1299709 + (i * step) % 977) % 2001 - 1000).double() / 1000
    return (value * (10.0 ** -(i % 4).double())).float()
parameter = torch.nn.Parameter(start.clone())
optimizer = bnb.optim.AdamW8bit([parameter], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
for step in range(STEPS):
    parameter.grad = gradient(step)
    optimizer.step()
state = optimizer.state[parameter]
save_file({'parameter': parameter.detach(), 'first': state['state1'], 'second': state['state2'],
           'first.absmax': state['absmax1'], 'second.absmax': state['absmax2'],
           'signed': create_dynamic_map(signed=True), 'unsigned': create_dynamic_map(signed=False)}, sys.argv[1])
