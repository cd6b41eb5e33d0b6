import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { VERSION } from '../kernel/version.ts'
import { curlLines } from './banner.ts'

const root = join(import.meta.dirname, '../../../..')

test('the README shows the four lines that start prints', async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  for (const line of curlLines('http://127.0.0.1:3000')) expect(readme).toContain(`${line}\n`)
})

test('the version is that of the package', async () => {
  const { version } = JSON.parse(
    await readFile(join(root, 'packages/server/package.json'), 'utf8'),
  ) as { version: string }
  expect(VERSION).toBe(version)
})
