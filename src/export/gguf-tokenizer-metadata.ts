import { InputError } from '../errors.ts'
import type { GgufMetadata } from '../formats/gguf-values.ts'
import { isJsonObject } from '../formats/json-file.ts'
import { GGUF_TOKEN_TYPE } from '../tokenizer/gguf-tokenizer.ts'
import { ggufPreTokenizerName } from '../tokenizer/pre-tokenizers.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { Dialogue } from './dialogue.ts'

/**
 * The tokenizer as GGUF has it: tokenizer.ggml.* and the chat template (llama.cpp: convert_hf_to_gguf.py, get_vocab_base).
 * `vocabularySize` is the embedding's rows: rows without a token are named and marked unused.
 * InputError for a tokenizer that is no byte-level BPE that GGUF has a name for.
 */
export function ggufTokenizerMetadata(
  tokenizer: Tokenizer,
  vocabularySize: number,
  dialogue: Dialogue,
): GgufMetadata {
  const json = tokenizer.files.tokenizer
  const pre = ggufPreTokenizerName(json.pre_tokenizer)
  if (pre === undefined)
    throw new InputError(
      "spec.quantize.formats: the base model's tokenizer has no name in GGUF (known: SmolLM, GPT-2, Llama 3, Qwen2); leave out the gguf formats",
    )
  const model = json.model as { vocab: Record<string, number>; merges: (string | [string, string])[] }

  const tokens = Array.from({ length: vocabularySize }, (_, id) => `[PAD${id}]`)
  const types = Array.from({ length: vocabularySize }, (): number => GGUF_TOKEN_TYPE.unused)
  const put = (id: number, token: string, type: number) => {
    if (id >= vocabularySize)
      throw new InputError(
        `the tokenizer's token ${JSON.stringify(token)} has the id ${id}, but the embedding has ${vocabularySize} rows; use the model's own tokenizer`,
      )
    tokens[id] = token
    types[id] = type
  }
  for (const [token, id] of Object.entries(model.vocab)) put(id, token, GGUF_TOKEN_TYPE.normal)
  const added: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : []
  for (const { id, content, special } of added as { id: number; content: string; special?: boolean }[])
    put(id, content, special === true ? GGUF_TOKEN_TYPE.control : GGUF_TOKEN_TYPE.userDefined)

  const metadata: GgufMetadata = new Map([
    ['tokenizer.ggml.model', { type: 'STRING', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'STRING', value: pre }],
    ['tokenizer.ggml.tokens', { type: 'ARRAY', of: 'STRING', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'ARRAY', of: 'INT32', value: types }],
    [
      'tokenizer.ggml.merges',
      {
        type: 'ARRAY',
        of: 'STRING',
        value: model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' '))),
      },
    ],
  ])
  const ids: Record<string, number | undefined> = {
    bos: tokenizer.bos?.id,
    eos: tokenizer.eos.id,
    eot: dialogue.endOfTurn?.id,
    unknown: unknownId(tokenizer),
    padding: tokenizer.pad?.id,
  }
  for (const [name, id] of Object.entries(ids))
    if (id !== undefined) metadata.set(`tokenizer.ggml.${name}_token_id`, { type: 'UINT32', value: id })
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'BOOL', value: tokenizer.addsBos })
  metadata.set('tokenizer.ggml.add_space_prefix', { type: 'BOOL', value: false })
  const template = dialogue.chatTemplate ?? tokenizer.chatTemplate
  if (template !== undefined) metadata.set('tokenizer.chat_template', { type: 'STRING', value: template })
  return metadata
}

function unknownId(tokenizer: Tokenizer): number | undefined {
  const entry: unknown = tokenizer.files.tokenizerConfig.unk_token
  const token = isJsonObject(entry) ? entry.content : entry
  return typeof token === 'string' ? tokenizer.idOf(token) : undefined
}
