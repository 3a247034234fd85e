import type { JobView } from '../jobs/job-view.ts'
import type { EvaluateSummary } from '../src/stages/evaluate.ts'
import type { Statement } from './fine-tune-conditions.ts'
import { type FineTuneResource, WAITS_FOR_APPROVAL } from './fine-tune-resource.ts'

/** What the condition Waiting says while a person is asked: what was measured, and how to answer. */
export function askingStatement(
  view: JobView,
  { name, namespace }: Pick<FineTuneResource['metadata'], 'name' | 'namespace'>,
): Statement {
  const patch = `'{"spec":{"approval":{"decision":"approved"}}}'`
  return {
    status: 'True',
    reason: WAITS_FOR_APPROVAL,
    message: `Everything is made and measured${measured(view)}. Nothing runs until spec.approval says approved or rejected: kubectl patch finetune ${name} -n ${namespace} --type merge -p ${patch}`,
  }
}

function measured(view: JobView): string {
  const summary = view.stages.find(({ name }) => name === 'evaluate')?.summary
  if (summary === undefined) return ''
  // The stage's name says whose summary it is: the workflow has written both.
  const { base, tuned } = summary as unknown as EvaluateSummary
  return `: evaluation loss ${base.loss.toPrecision(4)} before, ${tuned.loss.toPrecision(4)} after`
}
