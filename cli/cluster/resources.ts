import { type FineTuneResource, GROUP, PLURAL, VERSION } from '../../k8s/fine-tune-resource.ts'
import type { Cluster } from './open-cluster.ts'

const place = { group: GROUP, version: VERSION, plural: PLURAL }

/** InputError where there is none of that name. */
export async function readResource(cluster: Cluster, name: string): Promise<FineTuneResource> {
  const { namespace } = cluster
  return (await cluster.ask(
    cluster.custom.getNamespacedCustomObject({ ...place, namespace, name }),
  )) as FineTuneResource
}

export async function listResources(cluster: Cluster): Promise<FineTuneResource[]> {
  const { namespace } = cluster
  const { items } = (await cluster.ask(
    cluster.custom.listNamespacedCustomObject({ ...place, namespace }),
  )) as { items: FineTuneResource[] }
  return items
}

/** How a FineTune ended; undefined while it has not. */
export function endOf({ status }: FineTuneResource): { succeeded: boolean; message: string } | undefined {
  for (const type of ['Complete', 'Failed']) {
    const condition = status?.conditions.find((one) => one.type === type && one.status === 'True')
    if (condition) return { succeeded: type === 'Complete', message: condition.message }
  }
  return undefined
}
