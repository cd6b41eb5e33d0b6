import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseId } from '../../kernel/ids.ts'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let user: Account
let key: string
beforeAll(async () => {
  app = await createTestApp({ env: { STORAGE: 'inline', INLINE_RETENTION: '1h' } })
  user = await app.register()
  key = (await app.createKey(user)).key
})
afterAll(() => app[Symbol.asyncDispose]())

const generate = async (on = app) =>
  (await on.request('POST', '/v1/generate', { token: key, body: { prompt: 'a banana' } })).json
const read = async (id: string, on = app) =>
  (await on.request('GET', `/v1/generations/${id}`, { token: key })).json
const listed = async (id: string) =>
  (await app.request('GET', '/v1/generations?limit=100', { token: key })).json.data.find(
    (one: { id: string }) => one.id === id,
  )
const contentUrl = (imageId: string) => `http://nanobanana.test/v1/images/${imageId}/content`
const contentStatus = async (imageId: string, token = key, query = '') =>
  (await app.request('GET', `/v1/images/${imageId}/content${query}`, { token })).status

describe('inline images', () => {
  test('come in the answer itself, and once more when the generation is read', async () => {
    const made = await generate()
    for (const generation of [made, await read(made.id)]) {
      const [image] = generation.images
      expect(image).toMatchObject({ storage: 'inline', url_expires_at: null, expired: false })
      expect(generation.url).toBe(image.url)
      const [head, base64] = image.url.split(',')
      expect(head).toBe(`data:${image.mime_type};base64`)
      const bytes = Buffer.from(base64, 'base64')
      expect(bytes).toHaveLength(image.bytes)
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(image.sha256)
    }
  })

  test('stand in lists as their lasting address, good until the retention ends', async () => {
    const made = await generate()
    const [image] = (await listed(made.id)).images
    expect(image.url).toBe(contentUrl(image.id))
    expect(image.thumbnail_url).toBe(`${contentUrl(image.id)}?width=256`)
    const left = Date.parse(image.url_expires_at) - Date.now()
    expect(left).toBeGreaterThan(3_500_000)
    expect(left).toBeLessThanOrEqual(3_600_000)
    expect(await contentStatus(image.id)).toBe(200)
  })

  test('past their retention say so, and are gone everywhere', async () => {
    const made = await generate()
    const [{ id }] = made.images
    await sql`update images set expires_at = now() where id = ${parseId('img', id)}`.execute(
      app.database.handle.db,
    )
    for (const generation of [await read(made.id), await listed(made.id)]) {
      expect(generation.url).toBeNull()
      expect(generation.images).toMatchObject([
        { id, url: null, url_expires_at: null, thumbnail_url: null, expired: true },
      ])
    }
    expect(await contentStatus(id)).toBe(404)
    expect(await contentStatus(id, key, '?width=256')).toBe(404)
  })

  test('whose bytes are missing have no address, and are no failure of ours', async () => {
    const made = await generate()
    await app.database.handle.db.deleteFrom('inline_objects').execute()
    expect(await read(made.id)).toMatchObject({ url: null, images: [{ expired: false }] })
    expect(await contentStatus(made.images[0].id)).toBe(404)
  })
})

test('an image of another store keeps its lasting address, and is missing there', async () => {
  const made = await generate()
  await using disk = await createTestApp({
    database: app.database.handle,
    env: { STORAGE: 'disk' },
  })
  const [image] = (await read(made.id, disk)).images
  expect(image).toMatchObject({ storage: 'inline', url: contentUrl(image.id) })
  const answer = await disk.request('GET', `/v1/images/${image.id}/content`, { token: key })
  expect(answer.status).toBe(404)
})

test('AUTHZ-1: an image is its account’s, and of a key only in the key’s mode', async () => {
  const made = await generate()
  const [{ id }] = made.images
  const stranger = await app.register()
  const live = await app.createKey(user, { mode: 'live' })
  const blind = await app.createKey(user, { scopes: ['generate'] })
  expect(await contentStatus(id, user.token)).toBe(200)
  expect(await contentStatus(id, stranger.token)).toBe(404)
  expect(await contentStatus(id, live.key)).toBe(404)
  expect(await contentStatus(id, blind.key)).toBe(403)
  for (const bad of ['x', '%00', made.id, 'img_01jd5xk3f8e2r9v7m6q4t0w1yz'])
    expect(await contentStatus(bad)).toBe(404)
})
