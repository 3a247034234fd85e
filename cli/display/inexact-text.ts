/** A training that went on in another environment ends with other bits than an undisturbed one. */
export function inexactText(found: { lossDifference?: number } | undefined): string {
  const difference = found?.lossDifference
  const said = difference === undefined ? '' : ` (first loss off by ${difference.toExponential(1)})`
  return `not exact${said}`
}
