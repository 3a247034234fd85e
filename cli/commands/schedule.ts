import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import { DEFAULT_HEARTBEAT_SECONDS } from '../options.ts'
import { type Outputs, openOutputs } from '../outputs.ts'
import { readSchedule } from '../read-schedule.ts'
import { nightLine } from '../display/night-line.ts'
import {
  createSchedule,
  deleteSchedule,
  findSchedule,
  listSchedules,
  triggerSchedule,
} from '../../jobs/schedules.ts'
import { type Session, openSession } from '../session.ts'
import { InputError } from '../../src/errors.ts'
import { listRecords } from '../../src/nightly/night-record.ts'

/** Nights that describe shows. */
const SHOWN_NIGHTS = 10

interface Common {
  json?: boolean
}

export function addScheduleCommand(program: Command): void {
  const schedule = program
    .command('schedule')
    .description('Retrain a model by the clock when new rows have arrived.')
    .addHelpText('after', '\nExample:\n  $ temper schedule create nightly.yaml && temper up')

  const add = (name: string, description: string, example: string) =>
    schedule
      .command(name)
      .description(description)
      .option('--json', 'print one closing line of JSON; everything else goes to stderr')
      .addHelpText('after', `\nExample:\n  $ temper schedule ${example}`)

  add('create', 'Check a FineTuneSchedule document and start its schedule.', 'create nightly.yaml')
    .argument('<schedule.yaml>', 'the document')
    .action((file: string, options: Common) =>
      withSession('create', options, async (session, outputs) => {
        const request = await readSchedule(file)
        await createSchedule(session, { ...request, heartbeatSeconds: DEFAULT_HEARTBEAT_SECONDS })
        const { name, spec } = request
        const { cron, timeZone } = spec.schedule
        outputs.terminal.line(
          `Schedule ${name} retrains ${spec.fineTune.publish.name}: ${cron}, ${timeZone}.`,
        )
        outputs.terminal.line('Its nights run wherever a worker serves: temper up on this machine.')
        outputs.json({ schedule: name, model: spec.fineTune.publish.name })
      }),
    )
  add('list', 'List the schedules.', 'list').action((options: Common) =>
    withSession('list', options, async (session, outputs) => {
      const schedules = await listSchedules(session)
      if (schedules.length === 0) outputs.terminal.line('No schedules yet.')
      for (const { name, paused, next } of schedules) {
        outputs.terminal.line(`${name}  ${paused ? 'paused' : `next ${next ?? 'never'}`}`)
      }
      outputs.json({ schedules })
    }),
  )
  add('describe', 'Show a schedule and how its last nights ended.', 'describe support')
    .argument('<schedule>', 'its name')
    .action((name: string, options: Common) =>
      withSession('describe', options, async (session, outputs) => {
        const { description, model } = await findSchedule(session, name)
        const { state, info, policies } = description
        const nights = (await listRecords(session.store, model)).slice(-SHOWN_NIGHTS)
        const next = info.nextActionTimes[0]?.toISOString()
        outputs.terminal.line(
          `${name} retrains ${model}: ${state.paused ? `paused (${state.note ?? ''})` : `next ${next ?? 'never'}`}`,
        )
        for (const night of nights) outputs.terminal.line(`  ${nightLine(night)}`)
        outputs.json({
          schedule: name,
          model,
          paused: state.paused,
          note: state.note,
          next,
          policies,
          nights,
        })
      }),
    )
  add(
    'pause',
    'Start no night until it is resumed; one that runs goes on.',
    'pause support --note "bad export"',
  )
    .argument('<schedule>', 'its name')
    .option('--note <text>', 'why', 'paused by hand')
    .action((name: string, options: Common & { note: string }) =>
      act('pause', name, options, async (session) => {
        await (await findSchedule(session, name)).handle.pause(options.note)
        return `Schedule ${name} is paused.`
      }),
    )
  add('resume', 'Start its nights again.', 'resume support')
    .argument('<schedule>', 'its name')
    .action((name: string, options: Common) =>
      act('resume', name, options, async (session) => {
        await (await findSchedule(session, name)).handle.unpause('resumed by hand')
        return `Schedule ${name} goes on.`
      }),
    )
  add('trigger', 'Start a night now, by the same rules.', 'trigger support')
    .argument('<schedule>', 'its name')
    .action((name: string, options: Common) =>
      act('trigger', name, options, async (session) => {
        await triggerSchedule(session, name)
        return `A night of ${name} is started.`
      }),
    )
  add(
    'backfill',
    'Start the nights of a span of time that is past, one after another.',
    'backfill support --from 2026-11-01T00:00:00Z --to 2026-11-03T00:00:00Z',
  )
    .argument('<schedule>', 'its name')
    .requiredOption('--from <time>', 'ISO 8601', parseTime)
    .requiredOption('--to <time>', 'ISO 8601', parseTime)
    .action((name: string, options: Common & { from: Date; to: Date }) =>
      act('backfill', name, options, async (session) => {
        if (options.to < options.from)
          throw new InputError('--to: lies before --from; give the earlier time first.')
        const { handle } = await findSchedule(session, name)
        await handle.backfill({ start: options.from, end: options.to, overlap: 'BUFFER_ALL' })
        return `The nights of ${name} from ${options.from.toISOString()} to ${options.to.toISOString()} are started, one after another.`
      }),
    )
  add('delete', 'End a schedule. Its model, history and artifacts stay.', 'delete support')
    .argument('<schedule>', 'its name')
    .action((name: string, options: Common) =>
      act('delete', name, options, async (session) => {
        await deleteSchedule(session, name)
        return `Schedule ${name} is deleted; its model and its history stay.`
      }),
    )
}

function act(
  verb: string,
  name: string,
  options: Common,
  run: (session: Session) => Promise<string>,
): Promise<void> {
  return withSession(verb, options, async (session, outputs) => {
    outputs.terminal.line(await run(session))
    outputs.json({ schedule: name, done: verb })
  })
}

async function withSession(
  verb: string,
  options: Common,
  run: (session: Session, outputs: Outputs) => Promise<void>,
): Promise<void> {
  const outputs = openOutputs(options.json ?? false)
  const session = await openSession({ command: `temper schedule ${verb}`, say: outputs.say })
  try {
    await run(session, outputs)
  } finally {
    await session.close()
  }
}

function parseTime(text: string): Date {
  const time = new Date(text)
  if (Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError('give a time as 2026-11-22T02:00:00Z.')
  }
  return time
}
