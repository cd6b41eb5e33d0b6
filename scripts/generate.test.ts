import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findStale, generate } from './generate.ts'

const files = generate()
let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'generate-'))
  for (const [path, text] of Object.entries(files)) await put(path, text)
})
afterAll(() => rm(root, { recursive: true }))

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), text)
}

test('writes the document and the three files of the SDK', () => {
  expect(Object.keys(files)).toEqual([
    'packages/server/openapi.json',
    'packages/sdk/src/generated/types.ts',
    'packages/sdk/src/generated/api.ts',
    'packages/sdk/src/generated/create-api.ts',
  ])
})

test('writes the same text each time', () => {
  expect(generate()).toEqual(files)
})

test('finds nothing stale in what it wrote', () => {
  expect(findStale(files, root)).toEqual([])
})

test('names a file that was changed, is missing, or that nothing writes any more', async () => {
  const [document = '', types = ''] = Object.keys(files)
  const left = 'packages/sdk/src/generated/old.ts'
  await put(document, `${files[document]} `)
  await rm(join(root, types))
  await put(left, '')
  expect(findStale(files, root)).toEqual([document, types, left])
})
