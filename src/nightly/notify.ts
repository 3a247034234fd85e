import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { InputError, TransientError } from '../errors.ts'
import type { NightEvent, Notification } from '../spec/fine-tune-schedule.ts'
import { pinAddress } from './addresses.ts'
import type { NightRecord } from './night-record.ts'
import { webhookSignature } from './sign.ts'

/** A receiver takes note and answers; whoever takes longer is told again later. */
const ANSWER_MILLISECONDS = 10_000

/** OpenAI's event types where they fit; what OpenAI has no word for has one of its own. */
const EVENT_TYPES: Record<NightEvent, string> = {
  published: 'fine_tuning.job.succeeded',
  kept: 'fine_tuning.job.succeeded',
  failed: 'fine_tuning.job.failed',
  skipped: 'temper.night.skipped',
  recovered: 'temper.night.recovered',
}

export interface Delivery {
  record: NightRecord
  event: NightEvent
  target: Notification
}

type Environment = Record<string, string | undefined>

/**
 * One try to deliver one event. The same event has the same id each time, so that a receiver that was told twice can see it.
 * InputError where trying again is of no use, TransientError where it is. Redirects are not followed. `now`: the time that is signed.
 */
export async function notify(
  { record, event, target }: Delivery,
  { environment, now, signal }: { environment: Environment; now: Date; signal: AbortSignal },
): Promise<void> {
  const url = new URL(target.url)
  const id = `evt_${record.night.replaceAll('-', '')}_${event}`
  const body = target.format === 'slack' ? slackBody(record, event) : eventBody(record, event, id)
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (target.format === 'webhook') {
    const timestamp = Math.floor(now.getTime() / 1000)
    headers['webhook-id'] = id
    headers['webhook-timestamp'] = String(timestamp)
    if (target.secretVariable !== undefined) {
      const secret = environment[target.secretVariable]
      if (!secret) {
        throw new InputError(
          `${target.secretVariable}: is not set in the worker's environment; put the webhook's secret there.`,
        )
      }
      headers['webhook-signature'] = webhookSignature(
        { secret, variable: target.secretVariable },
        { id, timestamp, body },
      )
    }
  }
  const allowed = environment['TEMPER_WEBHOOK_HOSTS']?.split(',') ?? []
  const status = await post(url, await pinAddress(url.hostname, allowed), headers, body, signal)
  if (status >= 200 && status < 300) return
  if (status >= 300 && status < 400) {
    throw new InputError(
      `${url.host}: answers with a redirect (${status}), which is not followed; give the address that it leads to.`,
    )
  }
  throw new TransientError(`${url.host}: answers ${status}`)
}

function eventBody(record: NightRecord, event: NightEvent, id: string): string {
  return JSON.stringify({
    id,
    object: 'event',
    created_at: Math.floor(Date.parse(record.at) / 1000),
    type: EVENT_TYPES[event],
    data: { id: record.job ?? record.night, event, ...record },
  })
}

function slackBody({ name, why, version }: NightRecord, event: NightEvent): string {
  // What Slack reads as a link, a mention or a tag is written so that it shows as it is.
  const plain = why.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return JSON.stringify({
    text: `${name}: ${event}${version === undefined ? '' : ` as version ${version}`}. ${plain}`,
  })
}

/** The status of the answer; its body is not read. */
function post(
  url: URL,
  pinned: { address: string; family: 4 | 6 },
  headers: Record<string, string>,
  body: string,
  signal: AbortSignal,
): Promise<number> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
        // Neither a shared connection nor a proxy: the checked address and no other.
        agent: false,
        lookup: (_host, options, done) => {
          if (options.all) done(null, [pinned])
          else done(null, pinned.address, pinned.family)
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MILLISECONDS)]),
      },
      (answer) => {
        answer.destroy()
        resolve(answer.statusCode ?? 0)
      },
    )
    outgoing.on('error', (error) =>
      reject(new TransientError(`${url.host}: does not answer (${error.message})`, { cause: error })),
    )
    outgoing.end(body)
  })
}
