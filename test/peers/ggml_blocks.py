"""Prints test/fixtures/ggml-blocks.json: random blocks of every type that Temper decodes, with the numbers that
gguf-py makes of them; numbers with the Q8_0 blocks, halves and bfloat16s that gguf-py and numpy make of them.

usage: python ggml_blocks.py [BLOCKS_PER_TYPE]     needs: gguf, numpy (0.19.0 and 2.4.6 made the committed file)
"""
import base64, json, sys
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
random = np.random.default_rng(5)
encode = lambda array: base64.b64encode(array.tobytes()).decode()
out = {}
for name, scales in SCALES.items():
    _, block_bytes = GGML_QUANT_SIZES[Type[name]]
    raw = random.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for at in scales:
        raw[:, at + 1] &= 0xBF  # the half's top exponent bit off: every scale is finite
    values = dequantize(raw.reshape(-1), Type[name]).astype(np.float32)
    out[name] = {"blocks": encode(raw), "values": encode(values)}

f32 = np.float32
values = np.concatenate([
    random.standard_normal(32 * max(10, count)).astype(f32) * f32(0.05),
    np.zeros(32, f32),
    np.arange(-16, 16).astype(f32) / f32(127) * f32(8),
    np.full(32, 1e-9, f32),
])
out["quantizeQ8_0"] = {"values": encode(values), "blocks": encode(quantize(values, Type.Q8_0))}
halves = random.standard_normal(200).astype(f32) * f32(10.0) ** random.integers(-8, 6, 200).astype(f32)
with np.errstate(over="ignore"):
    out["half"] = {"values": encode(halves), "bits": encode(halves.astype(np.float16))}
out["bfloat16"] = {"values": encode(halves), "bits": encode(quantize(halves, Type.BF16))}
print(json.dumps(out, indent=1))
