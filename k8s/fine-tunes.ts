import type { FineTuneResource, FineTuneStatus } from './fine-tune-resource.ts'

export interface EventText {
  type: 'Normal' | 'Warning'
  reason: string
  message: string
}

/** What the reconciler does with the API server. ConflictError where the resource has changed since it was read. */
export interface FineTunes {
  /** Fields of a status that the cluster's CRD does not know. */
  readonly dropped: ReadonlySet<string>
  /** Server-side apply: the whole status, which is the controller's alone. Only upon the resource as it was read. */
  applyStatus(resource: FineTuneResource, status: FineTuneStatus): Promise<FineTuneResource>
  setFinalizers(resource: FineTuneResource, finalizers: string[]): Promise<FineTuneResource>
  /** Never fails: an event that is lost changes nothing. */
  emit(resource: FineTuneResource, event: EventText): Promise<void>
}
