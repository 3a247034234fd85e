import assert from 'node:assert/strict'
import { test } from 'node:test'
import { classify } from '../../src/failures/classify.ts'
import type { ChildEnd, Evidence } from '../../src/failures/evidence.ts'
import { FAILURE_KINDS, type FailureKind } from '../../src/failures/failure-kind.ts'

const child = (end: Partial<ChildEnd> = {}): ChildEnd => ({
  exitCode: null,
  signal: null,
  lastWords: '',
  ...end,
})
const killed = child({ signal: 'SIGKILL' })
const node = (rest: Partial<NonNullable<Evidence['node']>> = {}) => ({ name: 'gpu-7', ...rest })
const xid79 = 'NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.'

const cases: { what: string; evidence: Evidence; kind: FailureKind; because: RegExp; avoid?: boolean }[] = [
  {
    what: 'a wrong spec',
    evidence: { error: { name: 'InputError', message: 'mend it' } },
    kind: 'input',
    because: /mend it/,
  },
  {
    what: 'exit code 10',
    evidence: { child: child({ exitCode: 10 }) },
    kind: 'input',
    because: /exit code 10/,
  },
  {
    what: 'exit code 11',
    evidence: { child: child({ exitCode: 11 }) },
    kind: 'diverged',
    because: /exit code 11/,
  },
  {
    what: 'exit code 12',
    evidence: { child: child({ exitCode: 12 }) },
    kind: 'outOfMemory',
    because: /exit code 12/,
  },
  {
    what: 'exit code 13',
    evidence: { child: child({ exitCode: 13 }) },
    kind: 'fenced',
    because: /exit code 13/,
  },
  {
    what: 'exit code 14',
    evidence: { child: child({ exitCode: 14 }) },
    kind: 'transient',
    because: /exit code 14/,
  },
  {
    what: 'exit code 15',
    evidence: { child: child({ exitCode: 15 }) },
    kind: 'stopped',
    because: /exit code 15/,
  },
  {
    what: 'exit code 16',
    evidence: { child: child({ exitCode: 16 }) },
    kind: 'corrupt',
    because: /exit code 16/,
  },
  {
    what: 'exit code 70',
    evidence: { child: child({ exitCode: 70 }) },
    kind: 'internal',
    because: /exit code 70/,
  },
  { what: 'a code of no table', evidence: { child: child({ exitCode: 7 }) }, kind: 'internal', because: /7/ },
  { what: 'nothing at all', evidence: {}, kind: 'internal', because: /nothing is known/ },
  {
    what: 'kill -9 by somebody',
    evidence: { child: killed, oomKills: 0 },
    kind: 'killed',
    because: /SIGKILL/,
  },
  { what: 'a crash', evidence: { child: child({ signal: 'SIGSEGV' }) }, kind: 'killed', because: /SIGSEGV/ },
  {
    what: "the kernel's out-of-memory killer, by the cgroup's counter",
    evidence: { child: killed, oomKills: 1, error: { name: 'TransientError', message: 'killed' } },
    kind: 'outOfMemory',
    because: /cgroup counts 1/,
  },
  {
    what: 'another process of the container killed for memory',
    evidence: { child: child({ exitCode: 14 }), oomKills: 1 },
    kind: 'transient',
    because: /exit code 14/,
  },
  {
    what: "a container's OOMKilled",
    evidence: { container: { reason: 'OOMKilled', exitCode: 137 } },
    kind: 'outOfMemory',
    because: /OOMKilled/,
  },
  {
    what: 'an eviction for memory',
    evidence: { pod: { reason: 'Evicted', message: 'The node was low on resource: memory.' } },
    kind: 'outOfMemory',
    because: /low on resource/,
  },
  {
    what: 'V8 without memory',
    evidence: {
      child: child({ signal: 'SIGABRT', lastWords: 'FATAL ERROR: JavaScript heap out of memory' }),
    },
    kind: 'outOfMemory',
    because: /SIGABRT/,
  },
  {
    what: 'CUDA without memory',
    evidence: { child: child({ exitCode: 70, lastWords: 'CUDA failure 2: out of memory ; GPU=0' }) },
    kind: 'outOfMemory',
    because: /CUDA: CUDA failure 2: out of memory/,
  },
  {
    what: 'a hung trainer',
    evidence: {
      child: child({ signal: 'SIGKILL', stalled: { phase: 'train', silent: 99, limit: 60 } }),
      oomKills: 0,
    },
    kind: 'stalled',
    because: /99 s in phase train/,
  },
  { what: 'a silent worker', evidence: { workerSilent: true }, kind: 'lost', because: /heartbeat/ },
  {
    what: 'a silent worker on a node that is gone',
    evidence: { workerSilent: true, node: node({ gone: true }) },
    kind: 'nodeLost',
    because: /gpu-7 is gone/,
    avoid: true,
  },
  {
    what: 'a node that is unreachable',
    evidence: {
      workerSilent: true,
      node: node({ conditions: [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' }] }),
    },
    kind: 'nodeLost',
    because: /Ready=Unknown NodeStatusUnknown/,
    avoid: true,
  },
  {
    what: 'a healthy node',
    evidence: { workerSilent: true, node: node({ conditions: [{ type: 'Ready', status: 'True' }] }) },
    kind: 'lost',
    because: /heartbeat/,
  },
  {
    what: 'a preempted pod on a node that goes down with it',
    evidence: {
      child: child({ signal: 'SIGTERM' }),
      pod: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] },
      node: node({ taints: [{ key: 'node.kubernetes.io/not-ready' }] }),
    },
    kind: 'preempted',
    because: /PreemptionByScheduler/,
  },
  {
    what: "a cloud's interruption notice",
    evidence: {
      workerSilent: true,
      node: node({ taints: [{ key: 'aws-node-termination-handler/spot-itn' }] }),
    },
    kind: 'preempted',
    because: /spot-itn/,
  },
  {
    what: 'an Xid that ends the machine',
    evidence: { child: killed, kernelLog: [xid79], node: node() },
    kind: 'hardware',
    because: /Xid 79: restartMachine/,
    avoid: true,
  },
  {
    what: "an Xid in NVSentinel's words, over a NaN that it has caused",
    evidence: {
      child: child({ exitCode: 11 }),
      node: node({
        conditions: [
          {
            type: 'SysLogsXIDError',
            status: 'True',
            message: 'ErrorCode:95 PCI:0000:3b:00 uncontained ECC error',
          },
        ],
      }),
    },
    kind: 'hardware',
    because: /Xid 95: resetGpu/,
    avoid: true,
  },
  {
    what: 'an Xid condition that is over',
    evidence: {
      child: child({ exitCode: 11 }),
      node: node({ conditions: [{ type: 'SysLogsXIDError', status: 'False', message: 'ErrorCode:95' }] }),
    },
    kind: 'diverged',
    because: /exit code 11/,
  },
  {
    what: 'an Xid of the program',
    evidence: {
      child: child({ exitCode: 70 }),
      kernelLog: ['NVRM: Xid (PCI:0000:3b:00): 31, pid=1'],
      node: node(),
    },
    kind: 'gpuFault',
    because: /Xid 31/,
  },
  {
    what: 'an Xid that means nothing',
    evidence: { child: killed, kernelLog: ['NVRM: Xid (PCI:0000:3b:00): 63, row remap'] },
    kind: 'killed',
    because: /SIGKILL/,
  },
  {
    what: 'an Xid that nobody knows',
    evidence: { child: killed, kernelLog: ['NVRM: Xid (PCI:0000:3b:00): 171, new'] },
    kind: 'hardware',
    because: /171/,
  },
  {
    what: 'a changed recovery action',
    evidence: {
      child: killed,
      kernelLog: [
        'NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)',
      ],
    },
    kind: 'hardware',
    because: /154: restartMachine/,
  },
  {
    what: 'a recovery action that was taken back',
    evidence: {
      child: killed,
      kernelLog: [
        'NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)',
      ],
    },
    kind: 'killed',
    because: /SIGKILL/,
  },
  {
    what: 'uncorrectable memory of a GPU',
    evidence: {
      child: child({ exitCode: 70, lastWords: 'CUDA error 214: uncorrectable ECC error encountered' }),
      node: node(),
    },
    kind: 'hardware',
    because: /uncorrectable ECC/,
    avoid: true,
  },
  {
    what: 'a wild address on a GPU',
    evidence: {
      child: child({ exitCode: 70, lastWords: 'CUDA error: an illegal memory access was encountered' }),
    },
    kind: 'gpuFault',
    because: /illegal memory access/,
  },
  {
    what: 'an old driver',
    evidence: {
      child: child({
        exitCode: 70,
        lastWords: 'CUDA driver version is insufficient for CUDA runtime version',
      }),
    },
    kind: 'input',
    because: /driver version/,
  },
  {
    what: 'a fenced attempt on a lost node',
    evidence: { child: child({ exitCode: 13 }), node: node({ gone: true }) },
    kind: 'fenced',
    because: /13/,
  },
  {
    what: 'an image that is not there',
    evidence: { container: { reason: 'ImagePullBackOff' } },
    kind: 'input',
    because: /ImagePullBackOff/,
  },
  {
    what: 'S3 out of reach',
    evidence: { error: { name: 'TransientError', message: 'bucket b at e failed 6 times' } },
    kind: 'transient',
    because: /bucket b/,
  },
  {
    what: 'a defect',
    evidence: { error: { name: 'TypeError', message: 'x is undefined' } },
    kind: 'internal',
    because: /TypeError/,
  },
]

for (const { what, evidence, kind, because, avoid = false } of cases)
  test(`${what}: ${kind}`, () => {
    const found = classify(evidence)
    assert.equal(found.kind, kind)
    assert.match(found.evidence.join('\n'), because)
    assert.equal(found.avoidNode, avoid ? 'gpu-7' : undefined)
  })

test('every kind is had from some evidence', () => {
  assert.deepEqual(new Set(cases.map(({ kind }) => kind)), new Set(FAILURE_KINDS))
})
