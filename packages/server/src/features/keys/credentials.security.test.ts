import { request as httpRequest } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, createTestApp, type TestApp } from '../../../test/harness.ts'
import { generateKey } from './key-secret.ts'

let app: TestApp
let user: Account
let key: string
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
  user = await app.register()
  key = (await app.createKey(user)).key
})
afterAll(() => app[Symbol.asyncDispose]())

let requests = 0
const newIp = () => `10.0.${++requests >> 8}.${requests & 255}`
const get = (headers: Record<string, string>, path = '/v1/generations', ip = newIp()) =>
  app.request('GET', path, { headers: { 'x-forwarded-for': ip, ...headers } })

describe('KEY-5: a credential is taken from one place, in one spelling', () => {
  test.each<[string, (credential: string) => string, number]>([
    ['Bearer', (one) => `Bearer ${one}`, 200],
    ['bearer', (one) => `bearer ${one}`, 200],
    ['BEARER', (one) => `BEARER ${one}`, 200],
    ['two spaces', (one) => `Bearer  ${one}`, 401],
    ['a tab', (one) => `Bearer\t${one}`, 401],
    ['no space', (one) => `Bearer${one}`, 401],
    ['a colon', (one) => `Bearer: ${one}`, 401],
    ['a word before it', (one) => `n1 Bearer ${one}`, 401],
    ['a comma before it', (one) => `,Bearer ${one}`, 401],
    ['a word after it', (one) => `Bearer ${one} more`, 401],
    ['a comma after it', (one) => `Bearer ${one},`, 401],
    ['itself after it', (one) => `Bearer ${one}, Bearer ${one}`, 401],
    ['quotes', (one) => `Bearer "${one}"`, 401],
    ['no scheme', (one) => one, 401],
    ['the scheme Token', (one) => `Token ${one}`, 401],
    ['the scheme Basic', (one) => `Basic ${Buffer.from(`${one}:`).toString('base64')}`, 401],
    ['nothing but the scheme', () => 'Bearer', 401],
    ['an empty value', () => '', 401],
  ])('%s', async (_, spell, status) => {
    for (const credential of [key, user.token]) {
      const answer = await get({ authorization: spell(credential) })
      expect(answer.status).toBe(status)
      if (status === 401) expect(answer.headers['www-authenticate']).toBe('Bearer')
    }
  })

  test.each(['x-api-key', 'x-goog-api-key', 'api-key', 'cookie', 'proxy-authorization'])(
    'the header %s is not read',
    async (name) => {
      const value = name === 'cookie' ? `token=${key}` : key
      expect((await get({ [name]: value })).json.error.code).toBe('invalid_token')
    },
  )

  test('in the URL it is 401 with a warning, and in no log line', async () => {
    for (const [name, value] of [
      ['key', key],
      ['api_key', key],
      ['access_token', user.token],
    ]) {
      const { status, headers, json } = await get({}, `/v1/generations?${name}=${value}`)
      expect(status).toBe(401)
      expect(json.error.code).toBe('invalid_token')
      expect(json.error.message).toContain('URL')
      expect(headers['warning']).toMatch(/^299 - ".+"$/)
    }
    const lines = JSON.stringify(app.logs)
    expect(lines).not.toContain(key.slice(8))
    expect(lines).not.toContain(user.token.slice(-20))
  })

  test('in the URL beside a good header it is an unknown field', async () => {
    const { status } = await get({ authorization: `Bearer ${key}` }, `/v1/generations?key=${key}`)
    expect(status).toBe(400)
  })
})

describe('KEY-5: two credentials', () => {
  /** Node’s client sends what stands in a flat list as it stands. */
  async function sendTwice(one: string, other: string): Promise<{ status: number; text: string }> {
    const { hostname, port } = new URL(address)
    const headers = ['Host', hostname, 'Authorization', `Bearer ${one}`, 'authorization', other]
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
    httpRequest({ hostname, port, path: '/v1/generations', headers }, (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, text: body }),
        reject,
      )
    })
      .on('error', reject)
      .end()
    return promise
  }
  let address = ''
  beforeAll(async () => {
    const { server } = app.service.http.app
    await app.listen()
    address = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  })

  test('that differ are 400, whichever comes first', async () => {
    const other = generateKey('test')
    for (const [first, second] of [
      [key, `Bearer ${other}`],
      [other, `Bearer ${key}`],
      [key, `Bearer ${user.token}`],
      [key, 'Basic abc'],
    ] as const) {
      const answer = await sendTwice(first, second)
      expect(answer.status).toBe(400)
      expect(JSON.parse(answer.text).error).toMatchObject({ code: 'invalid_input', param: null })
      expect(answer.text).not.toContain(key.slice(8))
    }
  })

  test('that are the same are one', async () => {
    expect((await sendTwice(key, `Bearer ${key}`)).status).toBe(200)
  })
})

describe('KEY-5: refused credentials of one address are bounded', () => {
  test('100 bad keys end in 429, while a good one behind the same address goes on', async () => {
    const ip = newIp()
    const statuses: number[] = []
    for (let n = 0; n < 100; n++) {
      const { status } = await get(
        { authorization: `Bearer ${generateKey('live')}` },
        undefined,
        ip,
      )
      statuses.push(status)
    }
    const refused = statuses.indexOf(429)
    expect(statuses.slice(0, refused)).toEqual(Array<number>(refused).fill(401))
    expect(new Set(statuses.slice(refused))).toEqual(new Set([429]))
    expect(refused).toBeGreaterThanOrEqual(10)

    const { status, headers, json } = await get(
      { authorization: `Bearer ${generateKey('live')}` },
      undefined,
      ip,
    )
    expect(status).toBe(429)
    expect(json.error.code).toBe('rate_limited')
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect((await get({ authorization: `Bearer ${key}` }, undefined, ip)).status).toBe(200)
  })

  test('a /64 counts as one address, forged forwarding counts as its sender', async () => {
    const bad = (ip: string) => get({ authorization: 'Bearer nb_live_x' }, undefined, ip)
    for (let n = 0; n < 40; n++) await bad(`2001:db8:0:9::${n}`)
    expect((await bad('2001:db8:0:9::ffff')).status).toBe(429)
    expect((await bad('2001:db8:0:a::1')).status).toBe(401)
    for (let n = 0; n < 40; n++) await bad(`10.9.${n}.1, 192.0.2.77`)
    expect((await bad('10.99.0.1, 192.0.2.77')).status).toBe(429)
  })

  test('a missing credential counts for nothing', async () => {
    const ip = newIp()
    for (let n = 0; n < 60; n++) expect((await get({}, undefined, ip)).status).toBe(401)
    expect((await get({ authorization: `Bearer ${key}` }, undefined, ip)).status).toBe(200)
  })
})
