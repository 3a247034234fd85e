import type { Command } from 'commander'
import { FLEET_LABEL, type FleetReport, fleetReport } from '../cluster/fleet-report.ts'
import { type ClusterOptions, type Cluster, openCluster } from '../cluster/open-cluster.ts'
import { listResources } from '../cluster/resources.ts'
import { table } from '../display/table.ts'
import { openOutputs } from '../outputs.ts'

interface FleetOptions extends ClusterOptions {
  json?: boolean
}

export function addFleetCommand(program: Command): void {
  program
    .command('fleet')
    .description('Show the fleets of a cluster: machines, what runs where, what waits and why.')
    .option('-n, --namespace <namespace>', "the namespace; the kubeconfig's own by default")
    .option('--context <context>', 'a context of the kubeconfig')
    .option('--json', 'print one line of JSON')
    .addHelpText('after', '\nExample:\n  $ temper fleet --namespace temper')
    .action(fleet)
}

async function fleet(options: FleetOptions): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const cluster = await openCluster(options)
  const { apps, core, namespace } = cluster
  const [deployments, pods, nodes, resources] = await Promise.all([
    cluster.ask(apps.listNamespacedDeployment({ namespace, labelSelector: FLEET_LABEL })),
    cluster.ask(core.listNamespacedPod({ namespace, labelSelector: FLEET_LABEL })),
    nodesOf(cluster),
    listResources(cluster),
  ])
  const report = fleetReport({ deployments: deployments.items, pods: pods.items, nodes, resources })
  for (const line of textOf(report, namespace)) outputs.terminal.line(line)
  outputs.json(report)
}

/** Nodes belong to the whole cluster: not everybody may list them. */
async function nodesOf({ core, ask }: Cluster) {
  const FORBIDDEN = 403
  try {
    return (await core.listNode()).items
  } catch (error) {
    if ((error as { code?: unknown }).code === FORBIDDEN) return undefined
    return ask(Promise.reject(error as Error))
  }
}

function textOf({ fleets, nodes, jobs }: FleetReport, namespace: string): string[] {
  const lines: string[] = []
  if (fleets.length === 0)
    lines.push(`No fleet in namespace ${namespace}: name the release's with --namespace.`)
  else
    lines.push(
      ...table(
        ['FLEET', 'PODS', 'MACHINE', 'QUEUE'],
        fleets.map(({ fleet, ready, wanted, machine, queue }) => [
          fleet,
          `${ready}/${wanted}`,
          machine,
          queue,
        ]),
      ),
    )
  lines.push('')
  if (nodes === undefined) lines.push('Nodes: you may not list them.')
  else
    lines.push(
      ...table(
        ['NODE', 'STATE', 'GPUS TAKEN', 'PODS'],
        nodes.map(({ node, ready, gpus, pods }) => [
          node,
          ready ? 'ready' : 'not ready',
          gpus.map(({ resource, offered, taken }) => `${taken}/${offered} ${resource}`).join(', ') || '-',
          pods.join(', ') || '-',
        ]),
      ),
    )
  lines.push('')
  if (jobs.length === 0) lines.push('No job runs or waits.')
  else
    lines.push(
      ...table(
        ['JOB', 'STAGE', 'FLEET', 'WHERE', 'WAITS'],
        jobs.map(({ job, stage, percent, fleet, pod, node, waits }) => [
          job,
          percent === undefined ? stage : `${stage} ${percent} %`,
          fleet ?? '-',
          pod === undefined ? '-' : `${pod}${node === undefined ? '' : ` on ${node}`}`,
          waits ?? '',
        ]),
      ),
    )
  return lines
}
