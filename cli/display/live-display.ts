import type { StageStatus } from '../../workflows/job.ts'
import type { JobView } from '../../jobs/job-view.ts'
import { clip, formatSeconds } from './format.ts'
import { stageSeconds, stageText } from './stage-text.ts'
import type { Terminal } from './terminal.ts'

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const SPIN_MILLISECONDS = 100
const NAME_WIDTH = 9
/** Symbol, name and the time at the right. */
const FRAME_WIDTH = 2 + NAME_WIDTH + 2 + 14

/** The stages as a block of lines that is drawn again at every look. */
export function liveBlock(terminal: Terminal, view: JobView, now: number): string[] {
  return view.stages.map((stage) => {
    const seconds = stageSeconds(stage, now)
    const text = clip(stageText(stage, view.progress, view.isWorkedOn), terminal.columns - FRAME_WIDTH)
    const time = seconds === undefined ? '' : terminal.style(`  ${formatSeconds(seconds)}`, 'dim')
    return `${symbol(terminal, stage, now)} ${name(terminal, stage)}${text}${time}`
  })
}

function symbol(terminal: Terminal, stage: StageStatus, now: number): string {
  switch (stage.state) {
    case 'waiting':
      return terminal.style('·', 'dim')
    case 'running':
    case 'retrying':
      return terminal.style(SPINNER[Math.floor(now / SPIN_MILLISECONDS) % SPINNER.length] ?? '', 'cyan')
    case 'done':
    case 'skipped':
      return terminal.style('✓', 'green')
    case 'failed':
    case 'rejected':
      return terminal.style('✗', 'red')
    case 'paused':
    case 'asking':
    case 'cancelled':
      return terminal.style('■', 'yellow')
  }
}

function name(terminal: Terminal, stage: StageStatus): string {
  const padded = stage.name.padEnd(NAME_WIDTH + 1)
  return stage.state === 'waiting' ? terminal.style(padded, 'dim') : padded
}
