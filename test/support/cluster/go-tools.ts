import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../../../src/local/run-command.ts'

/** Programs that come from one Go module. */
export interface GoModule {
  module: string
  version: string
  /** Name of the program to its package. */
  programs: Record<string, string>
  /** The version of modules that the module replaces by its own folders, which are not in its download. */
  stagingVersion?: string
  /** Variables that the linker sets, package path and name to value: a program built outside its repository knows no version. */
  variables?: Record<string, string>
  /** Further modules that a main.go of our own imports, name to version. */
  also?: Record<string, string>
  /** The text of a main.go of our own, where the module's program has more in it than a test needs; its package is `.`. */
  source?: string
}

/** The KEDA operator has 1,900 packages: six minutes on two idle cores, more on busy ones. */
const buildMilliseconds = 40 * 60_000

interface GoMod {
  Go: string
  Exclude: { Path: string; Version: string }[] | null
  Replace: { Old: GoVersion; New: GoVersion }[] | null
}

interface GoVersion {
  Path: string
  Version?: string
}

/** Why nothing can be built here, or undefined. */
export async function goMissing(): Promise<string | undefined> {
  try {
    await runCommand('go', ['version'], { timeoutMilliseconds: 60_000 })
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/**
 * Builds programs of a module into `folder`. `go install module@version` refuses modules that replace others, so they are
 * built from a module of our own that requires this one and repeats what its go.mod replaces and excludes.
 */
export async function buildGoPrograms(
  from: GoModule,
  programs: readonly string[],
  folder: string,
): Promise<void> {
  const workspace = await mkdtemp(join(tmpdir(), 'temper-go-'))
  const variables = Object.entries(from.variables ?? {}).map(([name, value]) => ` -X ${name}=${value}`)
  try {
    const { goMod } = await downloadModule(from)
    await writeFile(join(workspace, 'go.mod'), moduleText(from, goMod))
    if (from.source !== undefined) await writeFile(join(workspace, 'main.go'), from.source)
    await mkdir(folder, { recursive: true })
    for (const program of programs) {
      await go(
        workspace,
        ...[
          'build',
          '-mod=mod',
          '-p',
          '2',
          '-ldflags',
          `-s -w${variables.join('')}`,
          '-o',
          join(folder, program),
        ],
        packageOf(from, program),
      )
    }
  } finally {
    await rm(workspace, { recursive: true, force: true })
  }
}

/** The module's own files, such as its resource definitions. */
export async function goModuleFolder(from: GoModule): Promise<string> {
  return (await downloadModule(from)).folder
}

async function downloadModule(from: GoModule): Promise<{ folder: string; goMod: GoMod }> {
  const download = await go(tmpdir(), 'mod', 'download', '-json', `${from.module}@${from.version}`)
  const { Dir, GoMod } = JSON.parse(download) as { Dir: string; GoMod: string }
  return { folder: Dir, goMod: JSON.parse(await go(tmpdir(), 'mod', 'edit', '-json', GoMod)) as GoMod }
}

function moduleText(from: GoModule, goMod: GoMod): string {
  const lines = ['module temper.test/tools', `go ${goMod.Go}`, `require ${from.module} ${from.version}`]
  for (const [name, version] of Object.entries(from.also ?? {})) lines.push(`require ${name} ${version}`)
  for (const { Path, Version } of goMod.Exclude ?? []) lines.push(`exclude ${Path} ${Version}`)
  for (const { Old, New } of goMod.Replace ?? []) {
    const isFolder = New.Path.startsWith('.')
    // A folder beside the module: its content is published as a module of the same name, or not at all.
    if (isFolder && !from.stagingVersion) continue
    const target = isFolder ? `${Old.Path} ${from.stagingVersion}` : `${New.Path} ${New.Version}`
    lines.push(`replace ${Old.Path}${Old.Version ? ` ${Old.Version}` : ''} => ${target}`)
  }
  return `${lines.join('\n')}\n`
}

function packageOf(from: GoModule, program: string): string {
  const name = from.programs[program]
  if (name === undefined) throw new Error(`${from.module} has no program ${program}`)
  return name
}

/** Built beside whatever else the machine does, without C: the programs are static. */
function go(folder: string, ...args: string[]): Promise<string> {
  return runCommand('nice', ['-n', '19', 'go', '-C', folder, ...args], {
    timeoutMilliseconds: buildMilliseconds,
    environment: { CGO_ENABLED: '0', GOWORK: 'off' },
  })
}
