import type { IncomingMessage } from 'node:http'

/** A file of a revision with what its bytes are checked against. */
export interface HubFile {
  name: string
  size: number
  /** Large files lie apart with their SHA-256; small ones are git blobs with git's SHA-1. */
  digest: { kind: 'sha256' | 'git'; value: string }
}

/** One repository of a model hub. */
export interface ModelHub {
  /** As the user writes it, for messages: hf://owner/name. */
  source: string
  /** owner/name */
  name: string
  signal: AbortSignal | undefined
  /**
   * What a revision (branch, tag or commit) stands for, with its files. `id` is forty hexadecimal digits that stand for the same bytes
   * for ever; `revision` is what the hub is asked for to get them.
   */
  resolve(revision: string): Promise<{ id: string; revision: string; files: HubFile[] }>
  /** The bytes of a file from `offset` on. `start` is where the body really begins: servers without ranges send all. */
  body(revision: string, file: HubFile, offset: number): Promise<{ body: IncomingMessage; start: number }>
}
