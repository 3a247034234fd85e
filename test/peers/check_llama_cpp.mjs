// Loads a GGUF in llama.cpp (node-llama-cpp, its prebuilt CPU library) and prints one JSON object: what it makes of texts, and
// the probabilities of the next token behind each token of a sequence.
// usage: node check_llama_cpp.mjs MODEL.gguf INPUT.json      INPUT: {texts: string[], sequence: number[]}
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [model, input] = process.argv.slice(2)
const library = createRequire(`${process.cwd()}/`).resolve('node-llama-cpp')
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(library).href)
const { texts, sequence } = JSON.parse(readFileSync(input, 'utf8'))

const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: 1 })
const loaded = await llama.loadModel({ modelPath: model })
const ids = texts.map((text) => loaded.tokenize(text, true, 'trimLeadingSpace'))
const context = await loaded.createContext({ contextSize: 256 })
const next = await context
  .getSequence()
  .controlledEvaluate(
    sequence.map((token) => [token, { generateNext: { token: true, probabilities: true } }]),
  )
const probabilities = next.map((output) => [...output.next.probabilities].map(([token, p]) => [token, p]))
process.stdout.write(
  `${JSON.stringify({ ids, probabilities, eos: loaded.tokens.eos, bos: loaded.tokens.bos })}\n`,
)
await loaded.dispose()
process.exit(0)
