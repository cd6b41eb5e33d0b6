import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmulator } from '@nanobanana/gemini-emulator'
import { MODELS, readModels } from '@nanobanana/shared'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestApp, createTestDatabase, type TestDatabase } from '../../../test/harness.ts'
import { createApp } from '../../app.ts'
import { loadConfig } from '../../config.ts'
import { createCatalogue } from './models.ts'

let folder: string
let database: TestDatabase
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'models-'))
  database = await createTestDatabase()
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function write(name: string, text: string): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, text)
  return file
}

test('property: whatever a models file holds, it is read or refused, and never half', () => {
  const field = fc.constantFrom(
    'id',
    'aliases',
    'sizes',
    'image_tokens',
    'pricing',
    'name',
    'as_of',
  )
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom(...MODELS.map(({ id }) => id), ['1K']))
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ models: fc.array(fc.dictionary(field, value)) })
      .map((file) => JSON.stringify(file)),
  )
  fc.assert(
    fc.property(text, (file) => {
      const { models, names, problems } = readModels(file)
      expect(new Set(names).size).toBe(names.length)
      expect(createCatalogue(models).names).toEqual(names)
      if (problems.length > 0) expect(models).toBe(MODELS)
    }),
  )
})

test('property: a price of six decimals is read to the micro-dollar, one of seven refused', () => {
  const read = (usd: string) =>
    readModels(
      `{"models":[{"id":"${MODELS[0]!.id}","pricing":{"as_of":"2026-11-20","input_usd_per_million_tokens":${usd}}}]}`,
    )
  const digits = fc.integer({ min: 0, max: 999_999 }).map((n) => String(n).padStart(6, '0'))
  fc.assert(
    fc.property(
      fc.nat({ max: 99_999 }),
      digits,
      fc.integer({ min: 1, max: 9 }),
      (whole, six, seventh) => {
        const exact = read(`${whole}.${six}`)
        expect(exact.problems).toEqual([])
        expect(exact.models[0]?.prices.inputMicrosPerMillion).toBe(Number(`${whole}${six}`))
        expect(read(`${whole}.${six}${seventh}`).problems).toHaveLength(1)
      },
    ),
  )
})

test('the example on the page about models is a file that the service takes', async () => {
  const page = readFileSync(new URL('../../../../../docs/models.md', import.meta.url), 'utf8')
  const [, example = ''] = /```json\n(.*?)```/s.exec(page) ?? []
  const env = { MODELS_FILE: await write('example.json', example), DEFAULT_MODEL: 'nano-banana' }
  await using app = await createTestApp({ database: database.handle, env })
  const { key: token } = await app.createKey(await app.register())
  const { json } = await app.request('GET', '/v1/models', { token })
  expect(json.data).toHaveLength(MODELS.length + 1)
  expect(json.data[0]).toMatchObject({
    id: 'gemini-nano-banana-2.1',
    default: false,
    aliases: ['nano-banana-2.1'],
    pricing: { image_output_usd_per_million_tokens: 27.5, as_of: '2026-11-20' },
  })
  const { models } = JSON.parse(example)
  const { image_tokens: _, text_allowance_tokens: __, ...added } = models[1]
  expect(json.data.at(-1)).toMatchObject({ ...added, default: true })

  const draw = (ratio: string) =>
    app.request('POST', '/v1/generate', {
      token,
      body: { prompt: 'a banana', aspect_ratio: ratio },
    })
  expect((await draw('16:9')).json).toMatchObject({
    status: 'succeeded',
    model: 'gemini-nano-banana-3',
  })
  const { json: refused } = await draw('21:9')
  expect(refused.error.message).toContain('1:1, 3:4, 4:3, 9:16, 16:9')
})

test('a price of the file is what a live picture costs, and the ledger keeps its day', async () => {
  await using emulator = await startEmulator({ signatureBytes: 8, pictureStyle: 'solid' })
  const pricing = {
    input_usd_per_million_tokens: 0,
    text_output_usd_per_million_tokens: 0,
    image_output_usd_per_million_tokens: 100.5,
    as_of: '2026-12-01',
  }
  const models = [{ id: 'gemini-2.5-flash-image', pricing }]
  const env = {
    MODELS_FILE: await write('prices.json', JSON.stringify({ models })),
    GEMINI_API_KEY: 'AIza-key',
    GEMINI_BASE_URL: emulator.url,
  }
  await using app = await createTestApp({ database: database.handle, env })
  const { key: token } = await app.createKey(await app.register(), { mode: 'live' })
  const body = { prompt: 'a banana', model: 'gemini-2.5-flash-image' }
  const { json } = await app.request('POST', '/v1/generate', { token, body })
  expect(json.usage.cost_usd).toBe((1290 * 100.5) / 1e6)
  const rows = await database.handle.db
    .selectFrom('usage')
    .select('prices_as_of')
    .where('mode', '=', 'live')
    .execute()
  expect(rows).toEqual([{ prices_as_of: '2026-12-01' }, { prices_as_of: '2026-12-01' }])
})

test('a service that is given a faulty file does not start', async () => {
  const file = await write('faulty.json', '{"models":[{"id":"new"}]}')
  const config = loadConfig({ MODELS_FILE: file, DATA_DIR: folder })
  await expect(createApp(config)).rejects.toMatchObject({
    exitCode: 78,
    problems: expect.arrayContaining(['MODELS_FILE models[0] (new): sizes is required']),
  })
})
