import type { Condition, ConditionType } from './fine-tune-resource.ts'

/** What a condition says, apart from when it began to. */
export type Statement = Pick<Condition, 'status' | 'reason' | 'message'>

/** The conditions with this one set. `lastTransitionTime` moves only where the status changes (the conventions of Kubernetes' API). */
export function withCondition(
  conditions: readonly Condition[],
  type: ConditionType,
  statement: Statement,
  at: { generation: number; now: string },
): Condition[] {
  const before = conditions.find((condition) => condition.type === type)
  const condition: Condition = {
    type,
    ...statement,
    observedGeneration: at.generation,
    lastTransitionTime: before?.status === statement.status ? before.lastTransitionTime : at.now,
  }
  return before
    ? conditions.map((other) => (other === before ? condition : other))
    : [...conditions, condition]
}

export function isTrue(conditions: readonly Condition[] | undefined, type: ConditionType): boolean {
  return conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false
}
