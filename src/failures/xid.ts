/** What NVIDIA's catalogue says is to be done about an Xid. */
export type XidAction = 'ignore' | 'restartApp' | 'resetGpu' | 'restartMachine' | 'drainNode'

/**
 * NVIDIA's Xid catalogue, the codes whose action we could confirm. A code that is not listed counts as the GPU's failure:
 * to leave a good node costs less than to stay on a bad one.
 */
const ACTIONS: Record<number, XidAction> = {
  13: 'restartApp', // graphics engine exception
  31: 'restartApp', // GPU memory page fault
  43: 'ignore', // GPU stopped processing: the program's own
  48: 'drainNode', // double-bit ECC error
  63: 'ignore', // row remapping recorded
  64: 'resetGpu', // row remapping failed
  74: 'drainNode', // NVLink error
  79: 'restartMachine', // fallen off the bus
  92: 'ignore', // high single-bit ECC rate
  94: 'restartApp', // contained memory error
  95: 'resetGpu', // uncontained memory error
  119: 'resetGpu', // GSP RPC timeout
  140: 'resetGpu', // unrecovered ECC error
}

/** Xid 154 says that another Xid's action has changed, and to what. */
const RECOVERY_CHANGED = 154

export interface Xid {
  code: number
  action: XidAction
}

/**
 * Xids named in a text: `NVRM: Xid (PCI:0000:3b:00): 79, …` (kernel), `ErrorCode:79 …` (NVSentinel's node conditions),
 * `XID 79` (node-problem-detector and taints).
 */
export function xidsIn(text: string): Xid[] {
  const found = text.matchAll(
    /\bXid[\s_-]*\(PCI:[^)]*\):\s*(\d{1,3})|\bErrorCode:\s*(\d{1,3})\b|\bxid[\s:=_-]{1,3}(\d{1,3})\b/gi,
  )
  return Array.from(found, (match) => {
    const code = Number(match[1] ?? match[2] ?? match[3])
    return { code, action: actionOf(code, text) }
  })
}

function actionOf(code: number, text: string): XidAction {
  if (code !== RECOVERY_CHANGED) return ACTIONS[code] ?? 'resetGpu'
  const to = /changed from .*? to ([^\n]*)/i.exec(text)?.[1] ?? text
  if (/reboot/i.test(to)) return 'restartMachine'
  if (/drain/i.test(to)) return 'drainNode'
  if (/\bnone\b/i.test(to)) return 'ignore'
  return 'resetGpu'
}
