import { readdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../../src/local/run-command.ts'

const commandMilliseconds = 10 * 60_000

/** Why Debian's packages can't be had here, or undefined. */
export async function debianMissing(): Promise<string | undefined> {
  try {
    await runCommand('apt-get', ['--version'], { timeoutMilliseconds: commandMilliseconds })
    await runCommand('dpkg-deb', ['--version'], { timeoutMilliseconds: commandMilliseconds })
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Unpacks packages of the machine's own Debian into `folder`: nothing is installed, no script of a package runs, no root is needed. */
export async function unpackDebianPackages(packages: readonly string[], folder: string): Promise<void> {
  const downloads = await mkdtemp(join(tmpdir(), 'temper-deb-'))
  try {
    await download(packages, downloads)
    for (const file of await readdir(downloads)) {
      await runCommand('dpkg-deb', ['-x', join(downloads, file), folder], {
        timeoutMilliseconds: commandMilliseconds,
      })
    }
  } finally {
    await rm(downloads, { recursive: true, force: true })
  }
}

async function download(packages: readonly string[], folder: string): Promise<void> {
  // apt-get writes to its working directory and has no option for another.
  const fetch = () =>
    runCommand('env', ['-C', folder, 'apt-get', 'download', '--quiet', ...packages], {
      timeoutMilliseconds: commandMilliseconds,
    })
  try {
    await fetch()
  } catch {
    // A list of packages older than the archive names files that are gone.
    await runCommand('apt-get', ['update', '--quiet'], { timeoutMilliseconds: commandMilliseconds })
    await fetch()
  }
}
