import { decisionText } from '../../src/stages/decision.ts'
import type { StageProgress } from '../../src/stages/stage-progress.ts'
import type { StageStatus } from '../../workflows/job.ts'
import { inexactText } from './inexact-text.ts'
import { formatCount, formatLoss, formatSeconds } from './format.ts'
import { summaryTexts } from './summary-texts.ts'

/** What a stage is doing, has done or has failed with, in one line without its name. */
export function stageText(
  stage: StageStatus,
  progress: StageProgress | undefined,
  isWorkedOn: boolean,
): string {
  switch (stage.state) {
    case 'waiting':
      return ''
    case 'running':
    case 'retrying': {
      const doing = isWorkedOn ? progressText(stage.name, progress) : 'waiting for a worker'
      const why =
        stage.attempts > 1 && stage.failure ? ` · attempt ${stage.attempts}: ${stage.failure.message}` : ''
      return `${doing}${why}`
    }
    case 'paused':
      return 'paused; its state is saved'
    case 'asking':
      return `waiting for approval since ${new Date(stage.approval?.askedAt ?? 0).toISOString().replace(/\.\d+/, '')}`
    case 'rejected':
      return stage.approval?.decision === undefined ? 'rejected' : decisionText(stage.approval.decision)
    case 'done':
    case 'skipped':
      return [...(stage.state === 'skipped' ? ['made before'] : []), ...summaryTexts(stage)].join(' · ')
    case 'failed':
      return stage.failure?.message ?? 'failed'
    case 'cancelled':
      return 'cancelled; its state is saved'
  }
}

function progressText(name: string, progress: StageProgress | undefined): string {
  if (progress === undefined) return 'starting'
  const { phase, done, total, loss, evalLoss, bestStep, inexact, tokensPerSecond, secondsLeft } = progress
  const aside = name === 'train' && phase === 'evaluate' ? 'evaluating after step' : phase
  const what = phase === 'train' ? 'step' : aside
  const of = total === undefined ? '' : ` of ${formatCount(total)}`
  return [
    total === undefined && done === 0 ? what : `${what} ${formatCount(done)}${of}`,
    ...(loss === undefined ? [] : [`loss ${formatLoss(loss)}`]),
    ...(evalLoss === undefined ? [] : [`evaluated ${formatLoss(evalLoss)}${best(bestStep)}`]),
    ...(tokensPerSecond === undefined ? [] : [`${formatCount(tokensPerSecond)} tokens/s`]),
    ...(inexact === undefined ? [] : [inexactText(inexact)]),
    ...(secondsLeft === undefined ? [] : [`${formatSeconds(secondsLeft)} left`]),
  ].join(' · ')
}

function best(step: number | undefined): string {
  return step === undefined ? '' : ` (best after step ${formatCount(step)})`
}

/** Seconds that the stage has taken so far, or took. */
export function stageSeconds(stage: StageStatus, now: number): number | undefined {
  if (stage.startedAt === undefined) return undefined
  return Math.max(0, (stage.finishedAt ?? now) - stage.startedAt) / 1000
}
