import { createHmac, randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { verify, WebhookVerificationError } from './webhooks.ts'

const bytes = randomBytes(32)
const secret = `whsec_${bytes.toString('base64')}`
const body = JSON.stringify({ type: 'generation.succeeded', data: { prompt: 'Bänänä 🍌' } })

interface Signing {
  secret?: string
  at?: Date
  id?: string
}

/** As the library of others signs. */
function sign({ secret: by = secret, at = new Date(), id = 'msg_1' }: Signing = {}) {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(by).sign(id, at, body),
  }
}
const secondsAgo = (seconds: number) => new Date(Date.now() - seconds * 1000)
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'verified',
    (error: unknown) =>
      error instanceof WebhookVerificationError ? error.code : (error as Error).name,
  )

test('believes what standardwebhooks signed, and says what it says', async () => {
  expect(await verify(body, sign(), secret)).toEqual(JSON.parse(body))
})

test('what it believes standardwebhooks believes, and the other way round', async () => {
  const cases = [
    sign(),
    sign({ secret: `whsec_${randomBytes(32).toString('base64')}` }),
    sign({ at: secondsAgo(290) }),
    sign({ at: secondsAgo(310) }),
    sign({ at: secondsAgo(-310) }),
    { ...sign(), 'webhook-id': 'msg_2' },
    { ...sign(), 'webhook-signature': sign()['webhook-signature'].replace('v1,', 'v2,') },
    { ...sign(), 'webhook-signature': 'v1,' },
    { ...sign(), 'webhook-timestamp': 'soon' },
    { ...sign(), 'webhook-signature': `v1,AAAA v1a,x ${sign()['webhook-signature']}` },
  ]
  const theirs = cases.map((headers) => {
    try {
      new Webhook(secret).verify(body, headers)
      return true
    } catch {
      return false
    }
  })
  const ours = await Promise.all(
    cases.map(async (headers) => (await codeOf(verify(body, headers, secret))) === 'verified'),
  )
  expect(ours).toEqual(theirs)
  expect(ours).toEqual([true, false, true, false, false, false, false, false, false, true])
})

test('takes bytes, Headers, and headers in any case or as a list of one', async () => {
  const headers = sign()
  const raw = new TextEncoder().encode(body)
  const capitals = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]),
  )
  for (const given of [raw, raw.buffer, Buffer.from(body)]) {
    expect(await codeOf(verify(given, new Headers(headers), secret))).toBe('verified')
    expect(await codeOf(verify(given, capitals, secret))).toBe('verified')
  }
})

test('one right signature of several is enough, as after a rotation', async () => {
  const other = `whsec_${randomBytes(32).toString('base64')}`
  const both = `${sign({ secret: other })['webhook-signature']} ${sign()['webhook-signature']}`
  const headers = { ...sign(), 'webhook-signature': both }
  expect(await codeOf(verify(body, headers, secret))).toBe('verified')
  expect(await codeOf(verify(body, headers, other))).toBe('verified')
})

test('refuses a body of which one character is another', async () => {
  expect(await codeOf(verify(body.replace('Bänänä', 'Banana'), sign(), secret))).toBe(
    'invalid_signature',
  )
})

test.each(['', '  ', 'whsec_', 'whsec_%%%', undefined as unknown as string])(
  'refuses the secret %j, with which anybody could have signed',
  async (empty) => {
    const id = 'msg_1'
    const timestamp = String(Math.floor(Date.now() / 1000))
    // What somebody would send who hopes that the secret was left empty.
    const signature = createHmac('sha256', '').update(`${id}.${timestamp}.${body}`).digest('base64')
    const headers = {
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    }
    expect(await codeOf(verify(body, headers, empty))).toBe('TypeError')
  },
)

test('refuses timestamps more than five minutes off, either way, or as told', async () => {
  expect(await codeOf(verify(body, sign({ at: secondsAgo(295) }), secret))).toBe('verified')
  const old = sign({ at: secondsAgo(305) })
  expect(await codeOf(verify(body, old, secret))).toBe('timestamp_out_of_range')
  const early = sign({ at: secondsAgo(-305) })
  expect(await codeOf(verify(body, early, secret))).toBe('timestamp_out_of_range')
  expect(await codeOf(verify(body, old, secret, { toleranceSeconds: 600 }))).toBe('verified')
  const strict = verify(body, sign({ at: secondsAgo(20) }), secret, { toleranceSeconds: 10 })
  expect(await codeOf(strict)).toBe('timestamp_out_of_range')
  const never = verify(body, sign(), secret, { toleranceSeconds: Number.NaN })
  expect(await codeOf(never)).toBe('timestamp_out_of_range')
})

test.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])(
  'refuses a message without %s',
  async (name) => {
    expect(await codeOf(verify(body, { ...sign(), [name]: undefined }, secret))).toBe(
      'missing_header',
    )
  },
)
