import type { OpenFresh } from '../support/scratch.ts'
import { artifactBehaviour } from './artifact-behaviour.ts'
import { checkpointBehaviour } from './checkpoint-behaviour.ts'
import { leaseBehaviour } from './lease-behaviour.ts'
import { registryBehaviour } from './registry-behaviour.ts'
import { storeBehaviour } from './store-behaviour.ts'

/** Everything that has to hold in every store. */
export function everySuite(open: OpenFresh): void {
  storeBehaviour(open)
  artifactBehaviour(open)
  leaseBehaviour(open)
  checkpointBehaviour(open)
  registryBehaviour(open)
}
