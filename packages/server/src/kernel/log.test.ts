import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { createLog, requestIdFrom } from './log.ts'

const capture = (level: 'info' | 'debug' = 'info') => {
  const lines: string[] = []
  const log = createLog({ level, destination: { write: (line: string) => void lines.push(line) } })
  return { log, lines, entry: () => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown> }
}

test('a line is one JSON object with time, level name, fields and message', () => {
  const { log, lines, entry } = capture()
  log.info({ generation: 'gen_1', count: 2, ok: true, none: null }, 'made')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^\{.*\}\n$/)
  expect(entry()).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    generation: 'gen_1',
    count: 2,
    ok: true,
    none: null,
    msg: 'made',
  })
})

test('what is harmless stays as it is', () => {
  const { log, entry } = capture()
  const fields = {
    url: '/v1/generate?limit=20&cursor=abc',
    reqId: 'req_01jd5xk3f8e2r9v7m6q4t0w1yz',
    prefix: 'nb_live_a1b2...',
    sha256: createHash('sha256').update('x').digest('hex'),
    kid: '1ceb86cc',
    key_id: 'key_01jd5xk3f8e2r9v7m6q4t0w1yz',
    prompt_tokens: 12,
    remoteAddress: '2001:db8::1',
    code: 'invalid_token',
  }
  log.info(fields, 'The password is too short; the token has ended.')
  expect(entry()).toMatchObject({
    ...fields,
    msg: 'The password is too short; the token has ended.',
  })
})

test('an error keeps its type, message and stack with causes', () => {
  const { log, entry } = capture()
  log.error(new Error('outer', { cause: new RangeError('inner') }), 'failed')
  expect(entry()).toMatchObject({
    level: 'error',
    msg: 'failed',
    err: {
      type: 'Error',
      message: 'outer: inner',
      stack: expect.stringContaining('RangeError: inner'),
    },
  })
})

test('the level is obeyed, also by a child', () => {
  const { log, lines } = capture()
  log.child({ part: 'jobs' }).debug('no')
  expect(lines).toEqual([])
  log.child({ part: 'jobs' }).warn('yes')
  expect(lines).toHaveLength(1)
})

test.each([
  ['req-1.a_B', 'req-1.a_B'],
  ['a'.repeat(64), 'a'.repeat(64)],
  ['a'.repeat(65), undefined],
  ['', undefined],
  ['a b', undefined],
  ['a\nb', undefined],
  ['a\n', undefined],
  ['ä', undefined],
  [undefined, undefined],
  [['a'], undefined],
])('a request id from outside: %j gives %j', (header, id) => {
  expect(requestIdFrom(header)).toBe(id)
})
