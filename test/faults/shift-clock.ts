// Preloaded into a worker and, by inheritance, into its trainer: Date tells another time than the machine's clock.
// What asks the kernel itself (timers, the monotonic clock, Temporal's native core) is not moved.

const shift = Number(process.env['CLOCK_SHIFT_HOURS'] ?? 0) * 3_600_000
const RealDate = Date

class ShiftedDate extends RealDate {
  constructor(...values: unknown[]) {
    if (values.length === 0) super(RealDate.now() + shift)
    else super(...(values as [number]))
  }
  static override now(): number {
    return RealDate.now() + shift
  }
}
globalThis.Date = ShiftedDate as DateConstructor
