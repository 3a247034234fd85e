import { ApiException, type KubeConfig } from '@kubernetes/client-node'
import { type ApiOptions, ApiResources } from './api-resources.ts'
import { type FineTuneResource, type FineTuneStatus, PLURAL } from './fine-tune-resource.ts'
import type { FineTunes } from './fine-tunes.ts'

/** FineTunes through a real API server, whose CRD may be older than this controller. */
export class ApiFineTunes extends ApiResources<FineTuneResource> implements FineTunes {
  readonly dropped = new Set<string>()
  readonly #log: ApiOptions['log']

  constructor(config: KubeConfig, options: ApiOptions) {
    super(config, PLURAL, options)
    this.#log = options.log
  }

  override async applyStatus(resource: FineTuneResource, status: FineTuneStatus): Promise<FineTuneResource> {
    for (;;) {
      const known = Object.entries(status).filter(([field]) => !this.dropped.has(field))
      try {
        return await super.applyStatus(resource, Object.fromEntries(known) as unknown as FineTuneStatus)
      } catch (error) {
        if (!this.#drop(error)) throw error
      }
    }
  }

  /** An older CRD takes no field that it does not know: it is left out from now on, and that is said once. */
  #drop(error: unknown): boolean {
    const [, field] = /\.status\.(\w+)[^:]*: field not declared in schema/.exec(bodyOf(error)) ?? []
    if (field === undefined || this.dropped.has(field)) return false
    this.dropped.add(field)
    this.#log(
      `the cluster does not know status.${field}: its CRD is older than this controller; apply the chart's crds folder`,
    )
    return true
  }
}

function bodyOf(error: unknown): string {
  if (!(error instanceof ApiException)) return ''
  return typeof error.body === 'string' ? error.body : JSON.stringify(error.body)
}
