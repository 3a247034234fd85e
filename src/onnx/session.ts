import { InferenceSession, Tensor } from 'onnxruntime-node'
import { encode } from './encode.ts'
import { type Device, executionProviders, loadingError } from './device.ts'
import type { GraphFunction } from './extract.ts'
import { fuse } from './fuse.ts'
import type { DataType, TensorData } from './graph.ts'
import { type WaitingThreads, waitingThreads } from './waiting-threads.ts'

/** Looked at once: later this process itself is what the machine is busy with. */
let waiting: WaitingThreads | undefined

export interface SessionOptions {
  threads: number
  /** Undefined: the CPU. */
  device?: Device | undefined
  /** Where the time of every operator of every run is written when the session ends: the start of a file's name. */
  profileTo?: string
}

/** A graph loaded into ONNX Runtime, ready to run. */
export class Session {
  readonly inputNames: readonly string[]
  readonly #session: InferenceSession
  readonly #profiled: boolean

  private constructor(session: InferenceSession, inputNames: readonly string[], profiled: boolean) {
    this.#session = session
    this.inputNames = inputNames
    this.#profiled = profiled
  }

  static async create(source: GraphFunction, options: SessionOptions): Promise<Session> {
    const fused = fuse(source)
    const { bytes, external } = encode(fused)
    const { device = 'cpu' } = options
    const session = await InferenceSession.create(bytes, {
      executionProviders: executionProviders(device),
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      // Patterns are kept for each shape that ever came by: 100 MB more for SmolLM2, and not faster.
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: { session: { intra_op: (waiting ??= waitingThreads()) } },
      ...(external.length > 0 && { externalData: external }),
      ...(options.profileTo !== undefined && {
        enableProfiling: true,
        profileFilePrefix: options.profileTo,
      }),
    }).catch((error: unknown) => {
      throw loadingError(device, error)
    })
    return new Session(session, Array.from(fused.inputs.keys()), options.profileTo !== undefined)
  }

  /** Runs once; `feeds` may hold more than the inputs. Outputs are fresh buffers, by name. */
  async run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> {
    const inputs: Record<string, Tensor> = {}
    for (const name of this.inputNames) {
      const feed = feeds.get(name)
      if (!feed) throw new Error(`the graph's input ${name} is not given`)
      inputs[name] = feed.type === 'float16' ? asBits(feed) : feed
    }
    return new Map(Object.entries(await this.#session.run(inputs)))
  }

  async dispose(): Promise<void> {
    if (this.#profiled) this.#session.endProfiling()
    await this.#session.release()
  }
}

/**
 * onnxruntime-common holds float16 as a Float16Array where there is one (Node 24), which onnxruntime-node 1.30 reads as
 * empty. It takes the same memory as a Uint16Array, in anything that looks like a tensor.
 */
function asBits({ data, dims }: Tensor): Tensor {
  const { buffer, byteOffset, length } = data as Uint16Array
  return {
    type: 'float16',
    dims,
    location: 'cpu',
    data: new Uint16Array(buffer, byteOffset, length),
  } as Tensor
}

/** The options of one of many sessions, `profileTo` being the folder of all. */
export function profiledAs(name: string, options: SessionOptions): SessionOptions {
  return options.profileTo === undefined ? options : { ...options, profileTo: `${options.profileTo}/${name}` }
}

/** A tensor for a session's input; the elements are not copied. */
export function tensor(type: DataType, data: TensorData, shape: readonly number[]): Tensor {
  if (type === 'bfloat16') throw new Error('ONNX Runtime for Node takes no bfloat16 from outside of a graph')
  return new Tensor(type, data as Float32Array, shape)
}

/**
 * Gives a run's output back at once. Garbage collection would find it in time, but by then many more were made: memory
 * stays low, and the next outputs find pages that are there already.
 */
export function free(output: Tensor | undefined): void {
  const { buffer } = (output?.data ?? {}) as { buffer?: ArrayBuffer }
  buffer?.transfer(0)
}
