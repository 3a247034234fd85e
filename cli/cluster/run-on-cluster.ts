import { setTimeout as sleep } from 'node:timers/promises'
import { InputError } from '../../src/errors.ts'
import { readYaml } from '../../src/spec/read-yaml.ts'
import { JobFailedError } from '../errors.ts'
import { INTERRUPTED_EXIT, onInterrupt } from '../interrupt.ts'
import { openOutputs } from '../outputs.ts'
import { readDocument } from '../read-job.ts'
import { type ClusterOptions, openCluster } from './open-cluster.ts'
import { endOf, readResource } from './resources.ts'
import { statusLines } from './status-lines.ts'

const LOOK_MILLISECONDS = 1_000

interface RunOptions extends ClusterOptions {
  detach?: boolean
  json?: boolean
}

/**
 * Applies the document as a FineTune of the cluster and shows what becomes of it. Its paths are those of the cluster's workers. The
 * API server and the controller check it; Ctrl-C leaves the job alone.
 */
export async function runOnCluster(file: string, options: RunOptions): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const { document } = readYaml(await readDocument(file), file)
  const metadata = metadataOf(document, file)
  const namespace = options.namespace ?? metadata.namespace
  const cluster = await openCluster({ ...options, ...(namespace !== undefined && { namespace }) })
  const applied = await cluster.ask(
    cluster.apply({ ...(document as object), metadata: { ...metadata, namespace: cluster.namespace } }),
  )
  const { name } = applied.metadata
  outputs.say(`FineTune ${cluster.namespace}/${name} is applied on ${cluster.server}.`)
  if (options.detach) {
    outputs.json({ job: name, namespace: cluster.namespace, state: 'applied' })
    return
  }
  const interrupt = onInterrupt()
  const show = statusLines(outputs.terminal.line)
  const generation = applied.metadata.generation ?? 0
  for (;;) {
    const resource = await readResource(cluster, name)
    // A status of before this document says nothing of it.
    if ((resource.status?.observedGeneration ?? 0) >= generation) {
      show(resource)
      const end = endOf(resource)
      if (end) {
        outputs.json({ job: name, namespace: cluster.namespace, ...resource.status })
        if (!end.succeeded) throw new JobFailedError(end.message)
        outputs.terminal.line(end.message)
        return
      }
    }
    if (interrupt.aborted) {
      process.exitCode = INTERRUPTED_EXIT
      outputs.terminal.line(`FineTune ${name} goes on without this command. Look at it with: temper fleet`)
      return
    }
    await sleep(LOOK_MILLISECONDS, undefined, { signal: interrupt }).catch(() => {})
  }
}

function metadataOf(document: unknown, file: string): { name: string; namespace?: string } {
  const { metadata } = (document ?? {}) as { metadata?: { name?: unknown; namespace?: string } }
  if (typeof metadata?.name !== 'string')
    throw new InputError(`${file}: metadata.name is missing; it names the FineTune on the cluster.`)
  return metadata as { name: string; namespace?: string }
}
