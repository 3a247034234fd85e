import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { describe, test } from 'node:test'
import {
  formatBytes,
  formatChange,
  formatCount,
  formatLoss,
  formatSeconds,
} from '../../cli/display/format.ts'
import { liveBlock } from '../../cli/display/live-display.ts'
import { stateText } from '../../cli/display/state-text.ts'
import { plainDisplay } from '../../cli/display/plain-display.ts'
import { openTerminal } from '../../cli/display/terminal.ts'
import type { JobView } from '../../jobs/job-view.ts'
import { STAGES, type StageStatus } from '../../workflows/job.ts'

const second = 1000

function view(
  changes: Partial<Record<(typeof STAGES)[number], Partial<StageStatus>>>,
  rest: Partial<JobView> = {},
): JobView {
  return {
    name: 'x',
    jobId: 'finetune-x',
    runId: 'r',
    state: 'running',
    startedAt: new Date(0),
    isWorkedOn: true,
    isPaused: false,
    stages: STAGES.map((name) => ({ name, state: 'waiting', attempts: 0, ...changes[name] })),
    ...rest,
  }
}

const training = {
  phase: 'train',
  done: 31,
  total: 120,
  loss: 1.2345,
  tokensPerSecond: 812.4,
  secondsLeft: 130,
}
const running: Partial<StageStatus> = { state: 'running', attempts: 1, startedAt: 0 }

/** A stream that says it is a terminal. */
function screen(columns: number): { stream: NodeJS.WriteStream; written(): string } {
  let written = ''
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString()
      done()
    },
  })
  return {
    stream: Object.assign(stream, { isTTY: true, columns }) as unknown as NodeJS.WriteStream,
    written: () => written,
  }
}

test('numbers as a person reads them', () => {
  assert.deepEqual([0.04, 9.96, 75, 130, 7_205, 11_000].map(formatSeconds), [
    '0.0 s',
    '10.0 s',
    '75 s',
    '2 min 10 s',
    '120 min 5 s',
    '3 h 3 min',
  ])
  assert.deepEqual([12, 1_234_567.6].map(formatCount), ['12', '1,234,568'])
  assert.deepEqual([2.34567, 0.01234].map(formatLoss), ['2.346', '0.0123'])
  assert.deepEqual([35_000, 98_362_432, 5.4e9].map(formatBytes), ['35 kB', '98.4 MB', '5.40 GB'])
  assert.deepEqual([formatChange(2, 1.5), formatChange(1, 1.1)], ['-25.0 %', '+10.0 %'])
})

describe('what is drawn', () => {
  const terminal = openTerminal(screen(60).stream, {})
  const draw = (job: JobView): string[] =>
    liveBlock(terminal, job, 90 * second).map((line) => stripVTControlCharacters(line).trimEnd())

  test('one line a stage: done, at work with its figures, waiting', () => {
    const lines = draw(
      view(
        {
          clean: {
            state: 'done',
            startedAt: 0,
            finishedAt: 2 * second,
            summary: { kept: 9, read: 10, eval: 1, format: 'csv' },
          },
          train: running,
        },
        { progress: training },
      ),
    )
    assert.equal(lines.length, STAGES.length)
    assert.equal(lines[1], '✓ clean     9 of 10 rows kept · 1 held out ·…  2.0 s')
    assert.match(lines[3] ?? '', /^\S train {5}step 31 of 120 · loss 1\.234 · 81…  90 s$/)
    assert.equal(lines[4], '· evaluate')
    assert(lines.every((line) => line.length <= terminal.columns))
  })

  test('evaluations during training', () => {
    const wide = openTerminal(screen(120).stream, {})
    const progress = { ...training, evalLoss: 1.5, bestStep: 20, phase: 'evaluate' }
    const line = liveBlock(wide, view({ train: running }, { progress }), 90 * second)[3] ?? ''
    assert.match(
      stripVTControlCharacters(line),
      /evaluating after step 31 of 120 · loss 1\.234 · evaluated 1\.500 \(best after step 20\)/,
    )
  })

  test('a training that went on in another environment', () => {
    const wide = openTerminal(screen(120).stream, {})
    const progress = { ...training, inexact: { lossDifference: 1.234e-7 } }
    const line = liveBlock(wide, view({ train: running }, { progress }), 90 * second)[3] ?? ''
    assert.match(stripVTControlCharacters(line), /not exact \(first loss off by 1\.2e-7\)/)
    const summary = { steps: 3, firstLoss: 2, lastLoss: 1, tokensPerSecond: 5, exact: false }
    const recheck = { step: 1, recorded: 2, recomputed: 2.002 }
    const done = (more: object) =>
      liveBlock(wide, view({ train: { state: 'done', summary: { ...summary, ...more } } }), 0)[3]
    assert.match(done({ recheck }) ?? '', /not exact \(first loss off by 1\.0e-3\)/)
    assert.match(done({}) ?? '', /not exact$/)
    assert.doesNotMatch(done({ exact: true, recheck }) ?? '', /not exact/)
  })

  test('why a stage is tried again, and that nobody works on it', () => {
    const [, , , retrying] = draw(
      view(
        {
          train: {
            ...running,
            state: 'retrying',
            attempts: 2,
            failure: { kind: 'lost', message: 'Gone.', evidence: [] },
          },
        },
        { isWorkedOn: false },
      ),
    )
    assert.match(retrying ?? '', /^\S train {5}waiting for a worker · attempt 2…  90 s$/)
  })
})

test('a job that asks a person, and one that was refused', () => {
  const asked = { askedAt: Date.parse('2026-11-22T18:00:00.500Z') }
  const asking = view({ publish: { state: 'asking', startedAt: 0, approval: asked } })
  assert.equal(stateText(asking), 'waiting for approval')
  assert.equal(stateText({ ...asking, isPaused: true }), 'paused')
  const terminal = openTerminal(screen(90).stream, {})
  const lastLine = (job: JobView) =>
    stripVTControlCharacters(liveBlock(terminal, job, 90 * second).at(-1) ?? '')
  assert.equal(lastLine(asking), '■ publish   waiting for approval since 2026-11-22T18:00:00Z  90 s')
  const decision = { answer: 'rejected', by: 'ben', comment: 'too long', at: 0 } as const
  const refused = view(
    { publish: { state: 'rejected', approval: { ...asked, decision } } },
    { state: 'rejected' },
  )
  assert.equal(stateText(refused), 'rejected')
  assert.equal(lastLine(refused), '✗ publish   rejected by ben: too long')
  const lines: string[] = []
  const say = plainDisplay((line) => lines.push(line))
  for (const at of [1, 20]) say(asking, at * second)
  assert.deepEqual(lines, ['publish: asking · waiting for approval since 2026-11-22T18:00:00Z (1.0 s)'])
})

test('in a log: one line a change, and now and then one of progress that is new', () => {
  const lines: string[] = []
  const say = plainDisplay((line) => lines.push(line))
  say(view({ train: running }), 0)
  say(view({ train: running }, { progress: training }), 5 * second)
  for (const at of [11, 22]) say(view({ train: running }, { progress: training }), at * second)
  say(
    view({
      train: {
        ...running,
        state: 'retrying',
        attempts: 2,
        failure: { kind: 'lost', message: 'Gone.', evidence: [] },
      },
    }),
    23 * second,
  )
  say(
    view({
      train: {
        ...running,
        state: 'failed',
        attempts: 2,
        finishedAt: 30 * second,
        failure: { kind: 'input', message: 'Mend it.', evidence: [] },
      },
    }),
    31 * second,
  )
  assert.deepEqual(lines, [
    'train: started',
    'train: step 31 of 120 · loss 1.234 · 812 tokens/s · 2 min 10 s left',
    'train: attempt 2 (Gone.)',
    'train: failed · Mend it. (30 s)',
  ])
})

test('a block is drawn over itself, and lines go above it', () => {
  const { stream, written } = screen(80)
  const terminal = openTerminal(stream, {})
  terminal.block(['one', 'two'])
  terminal.line('said')
  terminal.block([])
  assert.equal(written(), 'one\ntwo\n\u001b[2A\u001b[0Jsaid\none\ntwo\n\u001b[2A\u001b[0J')
  assert.equal(openTerminal(stream, { CI: 'true' }).isInteractive, false)
})
