/**
 * How a process is started whose memory is tensors. Measured on SmolLM2-135M: 40 to 75 MB less, and no slower (docs/performance.md).
 */
export const LEAN_PROCESS = {
  /** Megabytes. With Node's own 16, some 50 MB of short-lived objects gather before they are looked at; a trainer makes few. */
  execArgv: ['--max-semi-space-size=1'],
  /**
   * Of glibc (mallopt(3)); other C libraries pass them over. One arena for all threads, none of which allocate much beside ONNX Runtime;
   * and what was freed goes back to the system from these sizes on, instead of sizes that grow with what was freed before.
   */
  env: {
    MALLOC_ARENA_MAX: '1',
    MALLOC_MMAP_THRESHOLD_: String(4 << 20),
    MALLOC_TRIM_THRESHOLD_: String(16 << 20),
  },
} as const
