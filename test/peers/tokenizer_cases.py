"""Trains one small tokenizer of each supported kind on the texts given and prints a JSON object
{name: {tokenizer, cases: [{text, ids, decoded}]}} with what Python's tokenizers makes of awkward text.

usage: python tokenizer_cases.py VOCABULARY_SIZE RANDOM_CASES TEXT_FILE...     needs: tokenizers
The committed test/fixtures/tokenizer-cases.json: tokenizer_cases.py 310 20 LICENSE, with tokenizers 0.23.3.
"""
import json, random, sys
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

size, count, files = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
corpus = [line for path in files for line in open(path, encoding="utf-8")]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
byte_level = lambda regex: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")


def bytes_tokenizer(pre_tokenizer, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    return tokenizer, pre_tokenizers.ByteLevel.alphabet()


def sentencepiece(metaspace):
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    decode = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(decode)
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer, []


kinds = {
    "gpt-2": bytes_tokenizer(byte_level(True)),
    "smollm": bytes_tokenizer(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)])),
    "llama-bpe": bytes_tokenizer(pre_tokenizers.Sequence([split(LLAMA3), byte_level(False)]), ignore_merges=True),
    "qwen2": bytes_tokenizer(pre_tokenizers.Sequence([split(QWEN2), byte_level(False)]), normalizers.NFC()),
    "sentencepiece": sentencepiece(False),
    "metaspace": sentencepiece(True),
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
fixed = [
    "Hello, world!", " leading and  double   spaces ", "tabs\tand\r\nnewlines\n\n\n  x", "it's I'M we'LL don't",
    "1234567890 ½ ² Ⅷ ٣٤٥ 12.5e-3", "naïve Ångström e\u0301 A\u030a \u1100\u1161\u11a8", "日本語のテキスト 中文 한국어",
    "😀 👩‍👩‍👧 🏳️‍🌈", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|im_end|><|im_end|> <|im_en",
    "\ufeffbom \u0085 next \u00a0 nbsp \u2003 em \u200b zero", "x" * 40, "\u0301 mark first", "def f(x):\n    return {'a': [1, 2]}",
    "tool tool_call x<call>  y", "▁ under ▁▁", "",
]
pool = list("aeinost TrRL'.,:<>{}_-\n\t\r0123456789") + [" ", "  ", "the", "ing", "'s", "é", "e\u0301", "ß", "İ", "日", "한", "\u1161",
    "😀", "\u200d", "½", "٣", "Ⅷ", "\u0085", "\ufeff", "\u00a0", "\u2028", "<|im_end|>", "<|im_start|>", "tool"]
chance = random.Random(7)
texts = fixed + ["".join(chance.choice(pool) for _ in range(chance.randint(1, 60))) for _ in range(count)]
out = {}
for name, (tokenizer, alphabet) in kinds.items():
    special = (["<unk>"] + [f"<0x{i:02X}>" for i in range(256)] if not alphabet else []) + SPECIAL
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size if alphabet else size + 257, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    if not alphabet:  # the byte tokens are pieces of the model, not special tokens
        content = json.loads(tokenizer.to_str())
        content["added_tokens"] = [t for t in content["added_tokens"] if not t["content"].startswith("<0x")]
        tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_tokens([AddedToken("tool", single_word=True, normalized=False), AddedToken("<call>", rstrip=True)])
    cases = []
    # A byte order mark among byte pieces is lost by the library's decoder: left out where pieces are not bytes.
    usable = [text for text in texts if alphabet or "\ufeff" not in text]
    for text in usable:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    out[name] = {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases}
print(json.dumps(out, ensure_ascii=False))
