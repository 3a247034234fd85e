import { checkGolden, isGolden } from './golden-check.ts'

/**
 * npm run golden -- DIR...: one JSON line for each directory and layout, with the largest relative error of each golden
 * value. Exit code 1 where one is above the tolerance or the greedy continuation differs.
 */
const dirs = process.argv.slice(2)
if (dirs.length === 0) {
  console.error('usage: npm run golden -- DIR...   (for example test/fixtures/golden/tiny-qwen2)')
  process.exitCode = 1
}
for (const dir of dirs)
  for (const layout of ['by-layer', 'whole'] as const) {
    const line = await checkGolden(dir, layout, 2)
    console.log(JSON.stringify(line))
    if (!isGolden(line)) process.exitCode = 1
  }
