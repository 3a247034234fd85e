import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { InputError, TransientError } from '../../src/errors.ts'
import { pinAddress } from '../../src/nightly/addresses.ts'
import { pairedBootstrap, type RowMetrics } from '../../src/nightly/bootstrap.ts'
import { decide } from '../../src/nightly/decide.ts'
import type { NightRecord } from '../../src/nightly/night-record.ts'
import { notify } from '../../src/nightly/notify.ts'
import { webhookSignature } from '../../src/nightly/sign.ts'
import { judgeRows } from '../../src/nightly/verdict.ts'

const rules = { minNewRows: 5, maxAgeHours: 24, onShrink: 'skip' } as const
for (const [name, look, want] of [
  ['new rows', { newRows: 5, vanished: 0, hoursSinceTraining: undefined }, [true, 'newRows']],
  ['too few', { newRows: 4, vanished: 0, hoursSinceTraining: 23 }, [false, 'tooFew']],
  ['none', { newRows: 0, vanished: 0, hoursSinceTraining: undefined }, [false, 'nothingNew']],
  ['none, but the model is old', { newRows: 0, vanished: 0, hoursSinceTraining: 24 }, [true, 'maxAge']],
  ['vanished rows', { newRows: 9, vanished: 1, hoursSinceTraining: 99 }, [false, 'shrunk']],
] as const)
  test(`a night decides: ${name}`, () => {
    const { run, why } = decide(look, rules)
    assert.deepEqual([run, why], want)
  })
test('a night decides: vanished rows where that is allowed', () => {
  const look = { newRows: 9, vanished: 1, hoursSinceTraining: undefined }
  assert.equal(decide(look, { ...rules, onShrink: 'train' }).why, 'newRows')
})

const rowsOf = (losses: readonly number[]): RowMetrics[] =>
  losses.map((loss) => ({ lossSum: loss * 10, tokens: 10, correct: 5 }))

test('the bootstrap interval is that of the normal approximation, and the same each time', () => {
  // 400 paired differences of mean 0.1 and standard deviation 0.5: a standard error of 0.025.
  const differences = Array.from({ length: 400 }, (_, i) => 0.1 + (i % 2 === 0 ? 0.5 : -0.5))
  const one = rowsOf(differences.map((difference) => 3 + difference))
  const other = rowsOf(differences.map(() => 3))
  const better = (a: RowMetrics, b: RowMetrics) => a.lossSum / a.tokens - b.lossSum / b.tokens
  const interval = pairedBootstrap(one, other, better, { confidence: 0.95, seed: 1 })
  assert(Math.abs(interval.low - (0.1 - 1.96 * 0.025)) < 0.01, JSON.stringify(interval))
  assert(Math.abs(interval.high - (0.1 + 1.96 * 0.025)) < 0.01, JSON.stringify(interval))
  assert.deepEqual(pairedBootstrap(one, other, better, { confidence: 0.95, seed: 1 }), interval)
})

describe('the gate', () => {
  const gate = { metric: 'loss', margin: 0, confidence: 0.95 } as const
  const champion = { frozen: rowsOf([2, 2.2, 1.8, 2.1]), fresh: rowsOf([2, 2, 2.1]) }
  test('lets a better model through', () => {
    const challenger = { frozen: rowsOf([1, 1.2, 0.9, 1.1]), fresh: rowsOf([1, 1, 1]) }
    assert.equal(judgeRows(champion, challenger, gate).wins, true)
  })
  test('holds back one that is as good, and one that is better by chance', () => {
    assert.equal(judgeRows(champion, champion, { ...gate, margin: 0.01 }).wins, false)
    const lucky = { frozen: rowsOf([1, 2.4, 2, 2.3]), fresh: [] }
    assert.equal(judgeRows({ ...champion, fresh: [] }, lucky, gate).wins, false)
  })
  test('holds back one that is better on the frozen rows and worse on the new ones', () => {
    const challenger = { frozen: rowsOf([1, 1.2, 0.9, 1.1]), fresh: rowsOf([3, 3, 3]) }
    const { wins, text } = judgeRows(champion, challenger, gate)
    assert.equal(wins, false)
    assert.match(text, /on 3 new rows better by -0\.9.*: worse/)
  })
})

test('a webhook is signed as the reference implementation of Standard Webhooks signs it', () => {
  // libraries/javascript/src/webhook.test.ts in standard-webhooks/standard-webhooks.
  const published = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestamp: 1_614_265_330,
    body: '{"test": 2432232314}',
  }
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
  assert.equal(webhookSignature({ secret, variable: 'HOOK' }, published), signature)
  for (const none of ['whsec_dG9vIHNob3J0', 'whsec_a secret with blanks, which is no base64', ''])
    assert.throws(
      () => webhookSignature({ secret: none, variable: 'HOOK' }, published),
      /^InputError: HOOK: is no webhook secret; it must be whsec_ and 24 to 64 bytes in base64/,
    )
})

describe('a receiver', () => {
  let server: Server
  let status = 204
  const seen: { body: string; signed: boolean }[] = []
  before(async () => {
    server = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (text: string) => (body += text))
      request.on('end', () => {
        seen.push({ body, signed: request.headers['webhook-signature'] !== undefined })
        response.writeHead(status, { location: 'http://169.254.169.254/' }).end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  after(() => server.close())

  const record: NightRecord = {
    name: 'support',
    schedule: 'support',
    at: '2026-11-22T02:00:00.000Z',
    night: 'a-b',
    end: 'kept',
    why: 'worse <!channel>',
  }
  const send = (format: 'webhook' | 'slack', environment: Record<string, string>) =>
    notify(
      {
        record,
        event: 'kept',
        target: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, format, on: ['kept'] },
      },
      { environment, now: new Date(0), signal: new AbortController().signal },
    )
  const allowed = { TEMPER_WEBHOOK_HOSTS: 'receiver.internal,127.0.0.1' }

  test('of a private network is told only where the operator allows it', async () => {
    await assert.rejects(send('webhook', {}), /private network.*TEMPER_WEBHOOK_HOSTS/)
    assert.equal(seen.length, 0)
    await send('webhook', allowed)
    assert.equal(seen.length, 1)
  })
  test('of Slack gets text in which nothing is a mention', async () => {
    await send('slack', allowed)
    assert.deepEqual(JSON.parse(seen.at(-1)?.body ?? ''), {
      text: 'support: kept. worse &lt;!channel&gt;',
    })
  })
  test('that redirects is not followed; one that fails is told again later', async () => {
    status = 302
    await assert.rejects(send('webhook', allowed), (error) => error instanceof InputError)
    status = 503
    await assert.rejects(send('webhook', allowed), (error) => error instanceof TransientError)
  })
  for (const host of ['10.1.2.3', '169.254.169.254', '[::1]', '[::ffff:10.0.0.1]', '[fd00::1]', 'localhost'])
    test(`${host} is private`, () => assert.rejects(pinAddress(host, []), /private network/))
  test('a name that nobody knows is looked up again later', () =>
    assert.rejects(pinAddress('nobody.invalid', []), (error) => error instanceof TransientError))
  test('an address of the open internet is taken as it is', async () => {
    assert.deepEqual(await pinAddress('93.184.215.14', []), { address: '93.184.215.14', family: 4 })
  })
})
