import { describe } from 'node:test'
import { pathToFileURL } from 'node:url'
import { openStore } from '../../src/store/open-store.ts'
import { everySuite } from './suites/every-suite.ts'
import { scratchFolder } from './support/scratch.ts'

// Tests wait for the disk most of the time, so several at once.
describe('file://', { concurrency: 4 }, () => {
  everySuite(async (t) => openStore(pathToFileURL(await scratchFolder(t)).href))
})
