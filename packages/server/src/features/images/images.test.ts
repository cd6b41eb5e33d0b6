import { createHash } from 'node:crypto'
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
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

describe('after a change of STORAGE', () => {
  let disk: TestApp
  let inline: TestApp
  beforeAll(async () => {
    disk = await createTestApp({ env: { STORAGE: 'disk' } })
    inline = await createTestApp({
      database: disk.database.handle,
      env: { STORAGE: 'inline', DATA_DIR: disk.dataDir },
    })
  })
  afterAll(async () => {
    await inline[Symbol.asyncDispose]()
    await disk[Symbol.asyncDispose]()
  })

  const make = async (on: TestApp, { token }: Account) =>
    (await on.request('POST', '/v1/generate', { token, body: { prompt: 'x', mode: 'test' } })).json
  const get = (on: TestApp, path: string, token?: string) =>
    on.request('GET', path, token === undefined ? {} : { token })
  const pathOf = (url: string) => new URL(url).pathname + new URL(url).search
  const remove = async (on: TestApp, { token, password }: Account) => {
    const body = { password }
    const answer = await on.request('POST', '/v1/auth/delete_account', { token, body })
    await on.service.deps.background.drain()
    return answer
  }
  const fileOf = (url: string) =>
    join(disk.dataDir, 'files', new URL(url).pathname.slice('/files/'.length))

  test('a picture on disk is read and deleted by a service that stores inline', async () => {
    const owner = await disk.register()
    const made = await make(disk, owner)
    const again = (await get(inline, `/v1/generations/${made.id}`, owner.token)).json
    expect(again.images[0]).toMatchObject({ storage: 'disk', url: again.url })
    const { id, sha256 } = again.images[0]
    const content = `/v1/images/${id}/content`
    for (const answer of [
      await get(inline, pathOf(again.url)),
      await get(inline, pathOf(made.url)),
      await get(inline, content, owner.token),
    ]) {
      expect(answer.status).toBe(200)
      expect(createHash('sha256').update(answer.bytes).digest('hex')).toBe(sha256)
    }
    expect((await get(inline, `${content}?width=64`, owner.token)).status).toBe(200)
    expect((await make(inline, owner)).images[0].storage).toBe('inline')
    await access(fileOf(made.url))
    expect((await remove(inline, owner)).status).toBe(204)
    await expect(access(fileOf(made.url))).rejects.toThrow('ENOENT')
    const left = disk.database.handle.db.selectFrom('inline_objects').selectAll()
    expect(await left.execute()).toEqual([])
  })

  test('an inline picture is read and deleted by a service that stores on disk', async () => {
    const owner = await inline.register()
    const made = await make(inline, owner)
    const again = (await get(disk, `/v1/generations/${made.id}`, owner.token)).json
    expect(again.url).toBe(made.url)
    expect((await get(disk, `/v1/images/${made.images[0].id}/content`, owner.token)).status).toBe(
      200,
    )
    expect((await remove(disk, owner)).status).toBe(204)
    const left = disk.database.handle.db.selectFrom('inline_objects').selectAll()
    expect(await left.execute()).toEqual([])
  })

  test('one whose store is not configured has no address, and its object waits for the store', async () => {
    const owner = await disk.register()
    const made = await make(disk, owner)
    const [{ id }] = made.images
    const { object_key } = await disk.database.handle.db
      .updateTable('images')
      .set({ storage: 's3' })
      .where('id', '=', parseId('img', id) ?? '')
      .returning('object_key')
      .executeTakeFirstOrThrow()
    expect((await get(disk, `/v1/generations/${made.id}`, owner.token)).json).toMatchObject({
      url: null,
      images: [{ storage: 's3', url: null, expired: false }],
    })
    expect((await get(disk, `/v1/images/${id}/content`, owner.token)).status).toBe(404)
    expect((await remove(disk, owner)).status).toBe(204)
    expect(disk.logs).toContainEqual(expect.objectContaining({ level: 40, storage: 's3' }))
    const waiting = disk.database.handle.db.selectFrom('doomed_objects').select('object_key')
    expect(await waiting.execute()).toEqual([{ object_key }])
  })

  test('no folder is made where no picture lies on disk', async () => {
    const owner = await app.register()
    await make(app, owner)
    expect((await remove(app, owner)).status).toBe(204)
    expect(await readdir(app.dataDir)).not.toContain('files')
  })
})

describe('thumbnails', () => {
  const thumbnail = (id: string, width: number) =>
    app.request('GET', `/v1/images/${id}/content?width=${width}`, { token: key })

  test('read the store once for all who ask at once, and not again', async () => {
    const [{ id }] = (await generate()).images
    const read = vi.spyOn(app.service.deps.objectStore, 'read')
    const all = await Promise.all(Array.from({ length: 20 }, () => thumbnail(id, 77)))
    all.push(await thumbnail(id, 77))
    expect(all.map((one) => one.status)).toEqual(all.map(() => 200))
    expect(all.every((one) => one.bytes.equals(all[0]?.bytes ?? Buffer.of()))).toBe(true)
    expect(read).toHaveBeenCalledTimes(1)
    await thumbnail(id, 78)
    expect(read).toHaveBeenCalledTimes(2)
    read.mockRestore()
  })
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
