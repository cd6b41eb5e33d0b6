import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import {
  decodeJwt,
  decodeProtectedHeader,
  EncryptJWT,
  exportJWK,
  SignJWT,
  UnsecuredJWT,
} from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, createTestApp, JWT_SECRET, type TestApp } from '../../../test/harness.ts'

let app: TestApp
let user: Account
let deleted: Account
let base: { header: Record<string, unknown>; claims: Record<string, unknown> }
beforeAll(async () => {
  app = await createTestApp({ env: { TRUST_PROXY: '127.0.0.1' } })
  user = await app.register()
  base = { header: { ...decodeProtectedHeader(user.token) }, claims: decodeJwt(user.token) }
  deleted = await app.register()
  const { token, password } = deleted
  await app.request('POST', '/v1/auth/delete_account', { token, body: { password } })
})
afterAll(() => app[Symbol.asyncDispose]())

const SECRET = Buffer.from(JWT_SECRET)
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
const DAY = 86_400
const nowSeconds = () => Math.floor(Date.now() / 1000)

const base64url = (text: string | Buffer) => Buffer.from(text).toString('base64url')
const json = (value: unknown) => JSON.stringify(value)

/** A token with a right HMAC of our secret, whatever header and payload say. */
function signed(header: string, payload: string, key: string | Buffer = SECRET, hash = 'sha256') {
  const content = `${base64url(header)}.${base64url(payload)}`
  return `${content}.${createHmac(hash, key).update(content).digest('base64url')}`
}
const withClaims = (changes: object) =>
  signed(json(base.header), json({ ...base.claims, ...changes }))
const withHeader = (changes: object) =>
  signed(json({ ...base.header, ...changes }), json(base.claims))
const without = (name: string) => withClaims({ [name]: undefined })
const parts = () => user.token.split('.') as [string, string, string]

/** A claim that stands twice: parsers differ in which of the two they take. */
const twice = (name: string, first: unknown) =>
  signed(json(base.header), json(base.claims).replace('{', `{${json(name)}:${json(first)},`))

const HOSTILE: Record<string, () => string | Promise<string>> = {
  'alg none, unsigned': () => new UnsecuredJWT(base.claims).encode(),
  'alg None': () => signed(json({ ...base.header, alg: 'None' }), json(base.claims)),
  'alg nOnE': () => withHeader({ alg: 'nOnE' }),
  'alg none with our signature': () => withHeader({ alg: 'none' }),
  'no alg': () => withHeader({ alg: undefined }),
  'HS384 of our secret': () =>
    signed(json({ ...base.header, alg: 'HS384' }), json(base.claims), SECRET, 'sha384'),
  'HS512 of our secret': () =>
    signed(json({ ...base.header, alg: 'HS512' }), json(base.claims), SECRET, 'sha512'),
  'RS256 signed by HMAC of our secret': () => withHeader({ alg: 'RS256' }),
  'RS256 signed by a key of their own': () =>
    new SignJWT(base.claims)
      .setProtectedHeader({ ...base.header, alg: 'RS256' })
      .sign(RSA.privateKey),
  'HMAC under an RSA public key in PEM': () =>
    signed(
      json(base.header),
      json(base.claims),
      RSA.publicKey.export({ type: 'spki', format: 'pem' }) as string,
    ),
  'our secret wrapped as PEM': () =>
    signed(
      json(base.header),
      json(base.claims),
      `-----BEGIN PUBLIC KEY-----\n${SECRET.toString('base64')}\n-----END PUBLIC KEY-----\n`,
    ),
  'an empty secret': () => signed(json(base.header), json(base.claims), ''),
  'another secret': () => signed(json(base.header), json(base.claims), randomBytes(32)),
  'an empty signature': () => `${parts()[0]}.${parts()[1]}.`,
  'half a signature': () => `${parts()[0]}.${parts()[1]}.${parts()[2].slice(0, 20)}`,
  'a signature of spaces': () => `${parts()[0]}.${parts()[1]}.====`,
  'a changed payload': () =>
    `${parts()[0]}.${base64url(json({ ...base.claims, ver: 2 }))}.${parts()[2]}`,
  'a swapped header': () =>
    `${base64url(json({ ...base.header, kid: '00000000' }))}.${parts()[1]}.${parts()[2]}`,
  'no exp': () => without('exp'),
  'exp past': () => withClaims({ iat: nowSeconds() - 8 * DAY, exp: nowSeconds() - DAY }),
  'exp ten years after iat': () => withClaims({ exp: nowSeconds() + 3650 * DAY }),
  'exp as text': () => withClaims({ exp: String(base.claims['exp']) }),
  'no iat': () => without('iat'),
  'iat in the future': () =>
    withClaims({ iat: nowSeconds() + 60, exp: nowSeconds() + 60 + 7 * DAY }),
  'nbf in the future': () => withClaims({ nbf: nowSeconds() + 60 }),
  'a wrong iss': () => withClaims({ iss: 'banananano' }),
  'no iss': () => without('iss'),
  'a wrong aud': () => withClaims({ aud: 'another-service' }),
  'several aud, none of them ours': () => withClaims({ aud: ['banana', 'another-service'] }),
  'a wrong typ': () => withHeader({ typ: 'at+jwt' }),
  'no typ': () => withHeader({ typ: undefined }),
  'no sub': () => without('sub'),
  'sub of a deleted user': () => withClaims({ sub: deleted.id }),
  'sub of nobody': () => withClaims({ sub: 'user_01jd5xk3f8e2r9v7m6q4t0w1yz' }),
  'sub not an id': () => withClaims({ sub: 'admin' }),
  'sub with SQL': () => withClaims({ sub: "user_' OR '1'='1" }),
  'sub as a number': () => withClaims({ sub: 1 }),
  'no jti': () => without('jti'),
  'jti not a UUID': () => withClaims({ jti: 'x' }),
  'no ver': () => without('ver'),
  'another ver': () => withClaims({ ver: 2 }),
  'ver as text': () => withClaims({ ver: '1' }),
  'ver of a fraction': () => withClaims({ ver: 1.5 }),
  'ver beyond an integer': () => withClaims({ ver: 2 ** 40 }),
  'a claim too many': () => withClaims({ role: 'admin' }),
  'two dots missing': () => base64url(json(base.claims)),
  'one dot missing': () => parts().slice(0, 2).join('.'),
  'a part too many': () => `${user.token}.${parts()[2]}`,
  'a five-part JWE': () =>
    new EncryptJWT(base.claims)
      .setProtectedHeader({ alg: 'dir', enc: 'A128CBC-HS256' })
      .encrypt(SECRET.subarray(0, 32)),
  'nine kilobytes': () => withClaims({ pad: 'x'.repeat(6700) }),
  'kid with a path': () => withHeader({ kid: '../../../../dev/null' }),
  'kid with SQL': () => withHeader({ kid: "' UNION SELECT 'secret" }),
  'no kid': () => withHeader({ kid: undefined }),
  'kid __proto__': () => withHeader({ kid: '__proto__' }),
  jku: () => withHeader({ jku: 'https://attacker.example/jwks.json' }),
  x5u: () => withHeader({ x5u: 'https://attacker.example/cert.pem' }),
  'jwk of their own key': async () =>
    new SignJWT(base.claims)
      .setProtectedHeader({ ...base.header, alg: 'RS256', jwk: await exportJWK(RSA.publicKey) })
      .sign(RSA.privateKey),
  crit: () => withHeader({ crit: ['exp'] }),
  'crit of nothing': () => withHeader({ crit: [] }),
  'b64 false': () => withHeader({ b64: false, crit: ['b64'] }),
  'sub twice, theirs first': () => twice('sub', deleted.id),
  'exp twice': () => twice('exp', 9_999_999_999),
  'alg twice': () => signed(json(base.header).replace('{', '{"alg":"none",'), json(base.claims)),
  'claims with a __proto__': () =>
    signed(json(base.header), json(base.claims).replace('{', '{"__proto__":{"ver":1},')),
  'spaces in the JSON': () => signed(json(base.header), JSON.stringify(base.claims, null, 1)),
  'an array for claims': () => signed(json(base.header), json([base.claims])),
  'null for claims': () => signed(json(base.header), 'null'),
  'claims that are no JSON': () => signed(json(base.header), '{"sub":'),
  'claims that are no UTF-8': () =>
    signed(json(base.header), json(base.claims)).replace(/\.[^.]+\./, '.wyg_w4M.'),
  'the prefix of a key before it': () => `nb_live_${user.token}`,
}

let requests = 0
/** Each from an address of its own: refused credentials are counted by address. */
const call = (path: string, token: string) => {
  requests++
  const ip = `10.0.${requests >> 8}.${requests & 255}`
  return app.request('GET', path, { token, headers: { 'x-forwarded-for': ip } })
}

const FACES = [
  ['REST', '/v1/auth/me'],
  ['tRPC', '/trpc/auth.me'],
] as const

describe.each(FACES)('JWT-2: over %s', (face, path) => {
  const errorOf = (answer: { json: unknown }) => {
    const { error } = answer.json as { error: { data?: { error: unknown } } }
    return { ...((face === 'REST' ? error : error.data?.error) as object), request_id: '' }
  }

  test('what this table signs is taken when nothing is wrong with it', async () => {
    for (const token of [
      withClaims({}),
      withHeader({}),
      signed(json(base.header), json(base.claims)),
    ])
      expect((await call(path, token)).status).toBe(200)
  })

  test.each(Object.entries(HOSTILE))('%s is refused like every other', async (name, make) => {
    const answer = await call(path, await make())
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('Bearer')
    const isKey = name.startsWith('the prefix of a key')
    expect(errorOf(answer)).toEqual({
      type: 'authentication_error',
      code: isKey ? 'invalid_api_key' : 'invalid_token',
      message: expect.any(String),
      param: null,
      request_id: '',
    })
    if (!isKey) expect(errorOf(answer)).toEqual(errorOf(await call(path, 'nonsense')))
  })
})

test('no refused token reached the log, nor failed for a reason of ours', () => {
  const lines = JSON.stringify(app.logs)
  expect(lines).not.toContain('eyJ')
  expect(app.logs.filter(({ level }) => Number(level) >= 50)).toEqual([])
})
