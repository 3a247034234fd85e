import type { CleanSummary } from '../../src/data/clean-rows.ts'
import type { TokenizeSummary } from '../../src/data/tokenize-rows.ts'
import { decisionText } from '../../src/stages/decision.ts'
import type { EvaluateSummary } from '../../src/stages/evaluate.ts'
import type { MergeSummary } from '../../src/stages/merge.ts'
import type { PublishSummary } from '../../src/stages/publish.ts'
import type { QuantizeSummary } from '../../src/stages/quantize.ts'
import type { ResolvedModel } from '../../src/stages/resolve-model.ts'
import type { TrainSummary } from '../../src/train/train-task.ts'
import type { StageStatus } from '../../workflows/job.ts'
import { lossDifference } from '../../src/train/recheck.ts'
import { inexactText } from './inexact-text.ts'
import { formatBytes, formatChange, formatCount, formatLoss } from './format.ts'

/** What a finished stage has to say for itself, the most telling first. */
export function summaryTexts({ name, summary, approval }: StageStatus): string[] {
  if (summary === undefined) return []
  // The stage's name says whose summary it is: both come from one record, written by the workflow.
  switch (name) {
    case 'model': {
      const { family, layers, hiddenSize, unfenced } = summary as unknown as ResolvedModel
      return [...(unfenced ? ['THE STORE IS NOT FENCED'] : []), family, `${layers} layers of ${hiddenSize}`]
    }
    case 'clean': {
      const { format, read, kept, eval: held } = summary as unknown as CleanSummary
      return [
        `${formatCount(kept)} of ${formatCount(read)} rows kept`,
        `${formatCount(held)} held out`,
        `format ${format}`,
      ]
    }
    case 'tokenize': {
      const { trainTokens, supervisedTokens, template, dropped } = summary as unknown as TokenizeSummary
      return [
        `${formatCount(trainTokens)} tokens`,
        `${formatCount(supervisedTokens)} to learn`,
        ...(dropped > 0 ? [`${formatCount(dropped)} rows dropped`] : []),
        template,
      ]
    }
    case 'train': {
      const {
        steps,
        firstLoss,
        lastLoss,
        tokensPerSecond,
        resumedFromStep,
        exact,
        recheck,
        evaluations,
        stoppedEarly,
        precision,
        rollbacks = [],
      } = summary as unknown as TrainSummary
      return [
        `${formatCount(steps)} steps${stoppedEarly ? ', stopped early' : ''}`,
        ...(firstLoss === undefined || lastLoss === undefined
          ? ['a rehearsal: nothing was trained']
          : [`loss ${formatLoss(firstLoss)} → ${formatLoss(lastLoss)}`]),
        ...(evaluations === undefined
          ? []
          : [
              `best evaluation ${formatLoss(evaluations.bestLoss)} after step ${formatCount(evaluations.bestStep)}`,
            ]),
        ...(steps === 0 ? [] : [`${formatCount(tokensPerSecond)} tokens/s`]),
        ...(precision && precision.chosen !== 'exact' ? [`precision ${precision.chosen}`] : []),
        ...(resumedFromStep === undefined ? [] : [`went on from step ${resumedFromStep}`]),
        ...(exact ? [] : [inexactText(recheck && lossDifference(recheck))]),
        ...rollbacks.map(({ step, to, reason }) => `${reason} at step ${step}: went back to ${to}`),
      ]
    }
    case 'evaluate': {
      const { base, tuned } = summary as unknown as EvaluateSummary
      return [
        `loss ${formatLoss(base.loss)} → ${formatLoss(tuned.loss)} (${formatChange(base.loss, tuned.loss)})`,
      ]
    }
    case 'merge': {
      const { dtype, bytes, loss } = summary as unknown as MergeSummary
      return [`${dtype}, ${formatBytes(bytes)}`, `loss ${formatLoss(loss)}`]
    }
    case 'quantize':
      return Object.entries((summary as unknown as QuantizeSummary).files).map(
        ([format, { bytes, loss }]) => `${format}, ${formatBytes(bytes)} · loss ${formatLoss(loss)}`,
      )
    case 'publish': {
      const { name: published, version } = summary as unknown as PublishSummary
      return [
        `${published} version ${version}`,
        ...(approval?.decision ? [decisionText(approval.decision)] : []),
      ]
    }
  }
}
