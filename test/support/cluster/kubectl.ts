import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Program, program } from './binaries.ts'

const commandMilliseconds = 5 * 60_000
/** A listing of thousands of resources as YAML. */
const maxOutputBytes = 256 * 1024 * 1024

interface Reachable {
  kubeconfig: string
}

/** Runs kubectl as the cluster's administrator and returns what it printed; throws with all of its own words. */
export function kubectl(cluster: Reachable, args: readonly string[]): Promise<string> {
  return run('kubectl', cluster, args, {})
}

/** Runs helm likewise. Nothing of the user's own helm settings is read. */
export function helm(cluster: Reachable, args: readonly string[]): Promise<string> {
  const home = `${cluster.kubeconfig}.helm`
  return run('helm', cluster, args, { HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home })
}

async function run(
  name: Program,
  cluster: Reachable,
  args: readonly string[],
  environment: Record<string, string>,
): Promise<string> {
  const words = [`--kubeconfig=${cluster.kubeconfig}`, ...args]
  const options = {
    env: { ...process.env, ...environment },
    timeout: commandMilliseconds,
    maxBuffer: maxOutputBytes,
  }
  const { stdout } = await promisify(execFile)(await program(name), words, options)
  return stdout
}
