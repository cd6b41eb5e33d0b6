import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLog } from './log.ts'
import { cleanLine } from './log-line.ts'

const linesOf = (write: (log: ReturnType<typeof createLog>) => void): string => {
  const lines: string[] = []
  write(
    createLog({ level: 'trace', destination: { write: (line: string) => void lines.push(line) } }),
  )
  return lines.join('')
}

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlQ0FOQVJZ'
const BASE64 = Buffer.alloc(600, 'CANARY bytes of an image').toString('base64')
const MIME = (BASE64.match(/.{1,76}/g) ?? []).join('\r\n')

/** Texts that hold something secret, and the part that must not be in the log. */
const TEXTS: [string, string][] = [
  ['Authorization: Bearer CANARY-opaque', 'CANARY'],
  ['authorization: Basic Q0FOQVJZOng=', 'Q0FOQVJZ'],
  ['said Bearer CANARYopaque1 here', 'CANARY'],
  ['Proxy-Authorization: Digest a="CANARY"', 'CANARY'],
  ['cookie: a=1; session=CANARY; b="CANARY"', 'CANARY'],
  ['Set-Cookie: sid=CANARY; HttpOnly', 'CANARY'],
  ['x-api-key: CANARY', 'CANARY'],
  ['X-Goog-Api-Key: CANARY', 'CANARY'],
  ['{"x-goog-api-key":"CANARY"}', 'CANARY'],
  [String.raw`{"body":"{\"password\":\"CANARY one\"}"}`, 'CANARY'],
  ["[ 'x-goog-api-key', 'CANARY' ]", 'CANARY'],
  ['password=CANARY one two', 'CANARY'],
  ['{"email":"a@x.example","password": "CAN\\"CANARY"}', 'CANARY'],
  ['new_password: CANARY', 'CANARY'],
  ['https://h.example/v1beta/models?key=CANARY&alt=sse', 'CANARY'],
  ['https://h.example/?a=1&token=CANARY#x', 'CANARY'],
  ['/files/u/1.png?exp=1&sig=CANARY', 'CANARY'],
  ['https://s3.example/b?X-Amz-Signature=CANARY&X-Amz-Credential=CANARY%2F', 'CANARY'],
  ['/login?next=%2Fv1%3Fkey%3DCANARY', 'CANARY'],
  ['{"api_key":"CANARY"}', 'CANARY'],
  ["{ token: 'CANARY' }", 'CANARY'],
  ['postgres://app:CANARY@db.example/nb failed', 'CANARY'],
  ['postgres://app:CAN@CANARY@db.example/nb', 'CANARY'],
  ['redis://:CANARY@cache.example', 'CANARY'],
  ['nb_live_CANARY00000000000000000000000000 refused', 'CANARY'],
  ['nb_test_CANARY00000000000000000000000000', 'CANARY'],
  ['key AIzaSyCANARY_0123456789-abcdefghijklmnopq', 'CANARY'],
  ['whsec_Q0FOQVJZQ0FOQVJZ/+=', 'Q0FOQVJZ'],
  [`got ${JWT}.`, 'c2lnbmF0dXJl'],
  [`<img src="data:image/png;base64,${BASE64.slice(0, 40)}">`, BASE64.slice(0, 16)],
  [`inline ${BASE64} end`, BASE64.slice(0, 16)],
  [`mime ${MIME} end`, BASE64.slice(0, 16)],
]

describe('OUT-7: nothing secret is logged', () => {
  test.each(TEXTS)('not from the text %s', (text, secret) => {
    const written = linesOf((log) => {
      log.info(text)
      log.info({ deep: { list: [{ text }] } }, 'nested')
      log.child({ bound: text }).warn('child')
      log.error(new Error('outer', { cause: new Error(text) }))
      log.error({ err: new AggregateError([new Error(text)], text) }, 'many')
      log.info({ [text]: 1 }, 'as a name')
      log.info('%s and %j', text, { text })
    })
    expect(written.split('\n')).toHaveLength(8)
    expect(written).not.toContain(secret)
  })

  const names = [
    'authorization',
    'Authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'x-api-key',
    'X-Goog-Api-Key',
    'password',
    'current_password',
    'newPassword',
    'passwordHash',
    'secret',
    'client_secret',
    'secretAccessKey',
    'token',
    'access_token',
    'registrationToken',
    'apiKey',
    'api_key',
    'key',
    'sig',
    'signature',
    'pepper',
    'credentials',
  ]
  test.each(names)('not from a field called %s', (name) => {
    const written = linesOf((log) => {
      log.info({ [name]: 'CANARY' })
      log.info({ req: { headers: { [name]: ['CANARY'] } } })
      log.info({ [name]: { inner: 'CANARY' } })
      log.info({ rawHeaders: ['host', 'x', name, 'CANARY'] })
      log.info({ headers: [{ name, value: 'CANARY' }] })
      log.error(Object.assign(new Error('x'), { config: { headers: { [name]: 'CANARY' } } }))
      log.error(new Error('outer', { cause: Object.assign(new Error('x'), { [name]: 'CANARY' }) }))
    })
    expect(written.match(/\n/g)).toHaveLength(7)
    expect(written).not.toContain('CANARY')
  })

  test('not as bytes', () => {
    const bytes = Buffer.from('CANARY bytes of an image, long enough')
    const written = linesOf((log) =>
      log.info({ bytes: 1, a: { body: bytes, view: new Uint8Array(bytes) } }),
    )
    expect(written).not.toContain('67,65,78')
    expect(written).not.toContain('67,"1":65')
  })

  test('not by a number', () => {
    expect(linesOf((log) => log.info({ password: 12_345_678 }))).not.toContain('12345678')
  })

  test('not by what is cut: a secret across the cut goes whole', () => {
    for (let pad = 15_900; pad < 16_010; pad += 1) {
      const text = `${'word '.repeat(3180)}${'w'.repeat(pad - 15_900)} ${BASE64.repeat(20)} postgres://u:CANARY@h`
      expect(cleanLine(JSON.stringify({ text }))).not.toContain('CANARY')
    }
  })
})

describe('OUT-7: user text makes no second line and no terminal command', () => {
  test.each([
    '\n',
    '\r',
    '\r\n',
    '\u2028',
    '\u2029',
    '\u001b[2J',
    '\u009b2J',
    '\u0007',
    '\u202e',
    '\u007f',
  ])('%j is written escaped and read back', (text) => {
    const written = linesOf((log) => log.info({ text: `a${text}b`, [`n${text}`]: 1 }))
    // oxlint-disable-next-line no-control-regex -- the controls are what is looked for
    expect(written.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/)
    expect(JSON.parse(written)).toMatchObject({ text: `a${text}b` })
  })
})

describe('OUT-7: no line is over 16 kB', () => {
  test.each([
    ['a long text', { text: 'word '.repeat(1_000_000) }],
    ['a text of controls', { text: '\u0001'.repeat(100_000) }],
    ['a text of emoji', { text: '🍌 '.repeat(100_000) }],
    [
      'many fields',
      Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, 'x y '.repeat(99)])),
    ],
    ['a long list', { list: Array.from({ length: 100_000 }, () => 'x y '.repeat(99)) }],
    ['long names', { ['name '.repeat(10_000)]: { ['name '.repeat(9000)]: 1 } }],
    [
      'a wide tree',
      {
        a: Array.from({ length: 12 }, () =>
          Array.from({ length: 12 }, () => Array(12).fill('x y '.repeat(99))),
        ),
      },
    ],
  ])('not for %s', (_, fields) => {
    const written = linesOf((log) => log.info({ ...fields, reqId: 'req_1' }, 'kept'))
    expect(Buffer.byteLength(written)).toBeLessThanOrEqual(16_000)
    expect(JSON.parse(written)).toMatchObject({ level: 'info', msg: 'kept' })
  })
})

test('a line that is no JSON is replaced, not passed on', () => {
  for (const line of ['CANARY', '{"a":', '"CANARY"', 'null', ''])
    expect(JSON.parse(cleanLine(line))).toEqual({
      level: 'error',
      msg: 'a log line could not be read',
    })
})

test('a field called __proto__ stays a field', () => {
  const parsed: unknown = JSON.parse(cleanLine('{"__proto__":{"password":"CANARY"},"msg":"x"}'))
  expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype)
  expect(JSON.stringify(parsed)).not.toContain('CANARY')
})

test('OUT-7: property: every line parses, is short, and holds no canary', () => {
  const canary = 'CANARYcanary0123'
  const holder = fc
    .tuple(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.constantFrom(
        `authorization: Bearer ${canary}`,
        `?key=${canary}&`,
        `&token=${canary}`,
        `sig=${canary}`,
        ` nb_live_${canary}${canary}`,
        `AIza${canary}`,
        `whsec_${canary}`,
        `password=${canary}`,
        ` Bearer ${canary}`,
        `eyJ${canary}.${canary}.${canary}`,
        `x-goog-api-key: ${canary}`,
        `cookie: s=${canary}`,
        `://u:${canary}@h`,
        `{"password":"${canary}"}`,
      ),
      fc.string({ unit: 'binary', maxLength: 60 }),
    )
    .map((parts) => parts.join('\n'))
  const named = fc
    .constantFrom('password', 'authorization', 'x-api-key', 'token')
    .map((name) => ({ [name]: canary }))
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'medium' },
      holder,
      named,
      fc.string({ unit: 'binary' }),
      fc.double(),
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(fc.string({ unit: 'binary' }), holder), tie('tree'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(tree, holder, (data, message) => {
      const written = linesOf((log) => {
        log.info({ data }, message)
        log.error(Object.assign(new Error(message, { cause: new Error(message) }), { data }))
        log.child({ data }).warn({ nested: [data] }, 'text')
      })
      const lines = written.split('\n').slice(0, -1)
      expect(lines).toHaveLength(3)
      for (const line of lines) expect(JSON.parse(line)).toBeTypeOf('object')
      expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThan(16_384)
      expect(written).not.toContain('CANARY')
    }),
    { numRuns: 300 },
  )
})

test.each([
  'a',
  '-a',
  'a-',
  '://',
  '://:',
  'eyJ',
  'eyJa.',
  'key',
  'key = ',
  'password',
  'data:',
  'data:a/a;',
  'AQ.',
  'bearer ',
  '\\',
  '"',
  ' ',
  '\\n',
  `${'a'.repeat(60)} `,
  `${'a'.repeat(159)}.`,
  'authorization"',
  'nb_live_',
])('a long run of %j is cleaned without a stall', (unit) => {
  const text = unit.repeat(Math.ceil(16_000 / unit.length)).slice(0, 15_999)
  const started = performance.now()
  cleanLine(JSON.stringify({ text: `${text}!` }))
  expect(performance.now() - started).toBeLessThan(250)
})
