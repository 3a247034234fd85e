import { format } from 'prettier'
import { FAILURE_KINDS } from '../src/failures/failure-kind.ts'
import { type Budget, FAILURES } from '../src/failures/failures.ts'

const HEAD = `# Failures

A failed attempt is given a kind, by evidence; each kind has its answer and a budget of its own, so that a lost node never uses up
the patience for a flaky network, nor the other way round. The tables are generated from \`src/failures/failures.ts\` by
\`node scripts/generate-schema.ts\`; the rules by which evidence becomes a kind stand in \`src/failures/classify.ts\`, in their order.

`

const TAIL = `
## How the kind is found

The rules stand in the order of what they explain: what the trainer itself knows for certain (fenced, stopped, refused), then the
GPU, then memory, then a machine that was taken away or lost, then silence, then the trainer's words, and last a bare signal.
A worker sees the end of its trainer (exit code, signal, last words, stall), the error, and the container's count of
processes killed for memory (cgroup version 1 and 2). Pods, nodes, their conditions, taints and events, and the kernel's log of
the GPU, are evidence of the same classifier; the controller of a cluster collects them ([kubernetes.md](kubernetes.md#evidence-of-failures)). The Xids were tried as texts:
no GPU was broken for them.

\`temper status JOB\` shows the last failure of a stage with its kind and evidence, and what failures have cost so far: how
often, how many optimizer steps have to be done again, and the seconds of the machine that they took (GPU-seconds where it has
a GPU), per kind. Steps and seconds count from the newest checkpoint to the end of the attempt, as its last heartbeat or its
failure said; the wait for the next worker is not counted.

## Budgets

\`spec.train.retries\` gives training other budgets, by kind: \`retries: {killed: 10, transient: 200}\`. A kind that is never tried again
cannot be listed. The counts live in the training's workflow: no restart of a worker or of the server resets them; a new run of
the job (\`temper run\` after its end) and a resumed pause begin anew. The other stages have the budgets of the table.

## Out of memory

The next attempt takes half the rows at once (or the next smaller divisor) and accumulates over twice as many micro-batches, so that
a step keeps its rows, its rate and its checkpoints; down to one row. In the layout \`whole\` the next rung is the layout \`by-layer\`,
which holds one layer's intermediate values at a time; then \`spec.train.gradientCheckpointing\` goes to \`selective\` and \`full\`. After that training begins
on the next queue of \`spec.train.largerQueues\`, from the newest checkpoint, with the micro-batch that the spec says. The adapter then
differs in its last bits from an undisturbed run, since sums run in another order, and its summary says \`exact: false\`. Evaluation,
merging and quantising measure with half the rows of \`spec.eval.batchSize\` at once, down to one; that changes no result.

## Nodes that are avoided

A failure that means bad hardware names its node (the environment's NODE_NAME, which the chart sets). Further attempts of the
training are told to avoid it: a worker there declines at once, which costs no attempt and no budget, and another may take the
task. Declined tasks come back after 1 to 30 s; where nobody else has come for half an hour, the bad node is better than none. The nodes
stand on the job (\`temper status\`, and as \`avoidNodes\` in the memo \`attempts\` of its training) for whoever places pods.

## Two owners

A lease only moves forward (\`src/store/lease.ts\`). An attempt that slept while a later one of its run began gets it no more; a run
from which another run has taken the job never gets it back. So two workers that are given the same job do not fence each other
back and forth: the later run has it, and the earlier one writes nothing, looks a few times whether the other has finished, and
takes what that has made or ends as \`fenced\`. A worker that was thought dead and wakes up ends quietly the same way.

## By hand

\`temper retry JOB\` begins a job that has ended once more, as it was submitted: what it has made counts, so that it goes on where it
failed. \`--from-stage STAGE\` makes that stage and all after it again; their artifacts are set aside, not deleted. \`--checkpoint STEP\`
lets training go on from that checkpoint (0: anew) and gives up those after it. Publishing is an act: it makes a new version.
\`temper status\` names checkpoints that were set aside as corrupt.
`

/** docs/failures.md: every kind of failure, from the code that decides by it. */
export function failuresPage(): Promise<string> {
  const known = FAILURE_KINDS.map((kind) => `| \`${kind}\` | ${FAILURES[kind].evidence} |`)
  const rows = FAILURE_KINDS.map((kind) => {
    const { answer, shown, fault, budget } = FAILURES[kind]
    return `| \`${kind}\` | ${answer} | ${budgetText(budget)} | ${shown} | ${fault} |`
  })
  const table = [
    '| Kind | Answer | Retries | The user sees | Whose |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ]
  const evidence = ['| Kind | Evidence |', '| --- | --- |', ...known]
  const text = `${HEAD}${table.join('\n')}\n\n${evidence.join('\n')}\n${TAIL}`
  return format(text, { parser: 'markdown', printWidth: 110 })
}

function budgetText({ retries, firstWait, longestWait }: Budget): string {
  if (retries === 0) return 'none'
  if (longestWait === 0) return `${retries}, at once`
  const seconds = (milliseconds: number) => `${milliseconds / 1000} s`
  return `${retries}, ${firstWait === 0 ? 'at once' : seconds(firstWait)} to ${seconds(longestWait)} apart`
}
