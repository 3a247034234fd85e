import type { AdapterLayer } from '../model/adapter-layers.ts'
import type { AttentionKind } from '../model/attention.ts'
import type { ModelConfig } from '../model/config.ts'
import { layerFunctions, type TrainedInputs } from '../model/layer-functions.ts'
import type { PrecisionPlan } from '../model/precision.ts'
import { profiledAs, Session, type SessionOptions } from '../onnx/session.ts'

export type LayerPass = 'forward' | 'keeping' | 'backward'

/** What tells one layer graph from another. Rows and lengths do not: they are unknowns of the graph. */
interface LayerVariant {
  layer: AdapterLayer
  /** Blocks of queries. */
  blocks: number
  attention: AttentionKind
  /** LoRA dropout in this pass. */
  dropout: number
}

/**
 * The sessions that all layers share, made when first needed: a graph depends on the adapter's ranks, on the number of
 * attention blocks and on whether there is dropout, never on a batch's size, so a run needs a handful of them.
 */
export class LayerSessions {
  readonly #config: ModelConfig
  readonly #plan: PrecisionPlan
  readonly #options: SessionOptions
  readonly #trains: TrainedInputs
  readonly #sessions = new Map<string, Promise<Session>>()

  constructor(config: ModelConfig, plan: PrecisionPlan, options: SessionOptions, trains: TrainedInputs) {
    this.#config = config
    this.#plan = plan
    this.#options = options
    this.#trains = trains
  }

  get(pass: LayerPass, variant: LayerVariant): Promise<Session> {
    const { layer, blocks, attention, dropout } = variant
    const lora = new Map(
      Array.from(layer.lora, ([projection, setting]) => [projection, { ...setting, dropout }]),
    )
    const key = JSON.stringify([pass, Array.from(lora), blocks, attention])
    let session = this.#sessions.get(key)
    if (!session) {
      const { linear, kept } = this.#plan
      const setting = {
        config: this.#config,
        rows: 'B',
        blockLength: 'S',
        blocks,
        attention,
        tableRows: 'R',
        lora,
        linear,
      }
      const functions = layerFunctions(setting, kept, this.#trains)
      session = Session.create(functions[pass], profiledAs(pass, this.#options))
      this.#sessions.set(key, session)
    }
    return session
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).dispose()
    this.#sessions.clear()
  }
}
