import assert from 'node:assert/strict'
import { parseFineTune } from '../../../src/spec/parse-fine-tune.ts'
import { InputError } from '../../../src/errors.ts'
import type { FaultCase } from '../fault-case.ts'
import type { FaultJob } from '../fault-job.ts'
import { BUCKET } from '../surroundings.ts'

interface Mistake {
  name: string
  environment: (job: FaultJob) => Record<string, string>
  says: RegExp
}

/** Each is said in one sentence, before training begins. */
const MISTAKES: Mistake[] = [
  {
    name: 'no such bucket',
    environment: () => ({ TEMPER_STORE: 's3://nowhere/p' }),
    says: /bucket nowhere at \S+ does not exist; create it/,
  },
  {
    name: 'no right to write',
    environment: ({ reader }) => ({
      AWS_ACCESS_KEY_ID: reader.accessKeyId,
      AWS_SECRET_ACCESS_KEY: reader.secretAccessKey,
    }),
    says: new RegExp(`bucket ${BUCKET} at \\S+ refuses access; allow these credentials`),
  },
  {
    name: 'a wrong secret',
    environment: () => ({ AWS_SECRET_ACCESS_KEY: 'wrong' }),
    says: /does not accept the credentials/,
  },
]

/** A store that cannot be used. */
function mistaken({ name, environment, says }: Mistake): FaultCase {
  return {
    part: 'damage',
    kind: `bad configuration: ${name}`,
    what: 'the job fails with one clear sentence before training begins',
    runs: 1,
    isQuick: false,
    against: 'itself',
    checks: 'itself',
    async run(job) {
      await job.worker(environment(job))
      await job.submit()
      return { note: await failsBeforeTraining(job, says) }
    },
  }
}

/** A server that refuses the time of this machine, whatever is asked. */
const clockRefused: FaultCase = {
  part: 'damage',
  kind: 'bad configuration: clock-skewed credentials',
  what: 'the store refuses every request for the time in its signature: the job fails with one clear sentence before training begins',
  runs: 1,
  isQuick: false,
  against: 'itself',
  checks: 'itself',
  async run(job) {
    job.proxy.decide = () => ({ kind: 'answer', status: 403, code: 'RequestTimeTooSkewed' })
    await job.worker()
    await job.submit()
    return {
      note: await failsBeforeTraining(job, /the clock of this machine differs too much .*; set it right/),
    }
  },
}

const noRetention: FaultCase = {
  part: 'damage',
  kind: 'bad configuration: retention 0',
  what: 'keepLast 0 is refused before the job is submitted',
  runs: 1,
  isQuick: false,
  against: 'itself',
  checks: 'itself',
  run() {
    const document = {
      apiVersion: 'temper.dev/v1alpha1',
      kind: 'FineTune',
      metadata: { name: 'x' },
      spec: {
        model: { source: 'model' },
        data: { train: ['rows.jsonl'] },
        train: { checkpoint: { keepLast: 0 } },
      },
    }
    let said = ''
    assert.throws(
      () => parseFineTune(document, 'job.yaml'),
      (error) => {
        assert(error instanceof InputError)
        said = error.message
        return /spec\.train\.checkpoint\.keepLast/.test(said)
      },
    )
    return Promise.resolve({ note: said.replaceAll('\n', ' ') })
  },
}

async function failsBeforeTraining(job: FaultJob, says: RegExp): Promise<string> {
  const failure = await job.finish().then(
    () => assert.fail('the job ended well'),
    (error: unknown) => {
      const { cause } = error as { cause?: unknown }
      return cause instanceof Error ? cause.message : String(error)
    },
  )
  assert.match(failure, says)
  assert.equal(await job.trainingActivity().catch(() => undefined), undefined, 'training was not begun')
  return failure
}

export const configuration: FaultCase[] = [...MISTAKES.map(mistaken), clockRefused, noRetention]
