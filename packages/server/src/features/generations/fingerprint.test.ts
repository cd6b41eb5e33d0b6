import { randomBytes } from 'node:crypto'
import { UploadedImage } from '@nanobanana/shared'
import { expect, test } from 'vitest'
import { newUuid } from '../../kernel/ids.ts'
import type { SessionPrincipal } from '../../kernel/principal.ts'
import { claimOf } from './idempotency.ts'

const session: SessionPrincipal = {
  kind: 'session',
  userId: newUuid(),
  jti: newUuid(),
  tokenVersion: 1,
  expiresAt: new Date(),
}

const fingerprintOf = async (input: object) =>
  Buffer.from((await claimOf(session, 'a-key', 'generate', input)).fingerprint).toString('hex')

test('the event loop turns while the largest upload is hashed', async () => {
  const images = [{ data: new UploadedImage(randomBytes(32 * 2 ** 20)) }]
  const order: string[] = []
  const claimed = claimOf(session, 'a-key', 'generate', { images }).then(() => order.push('hash'))
  setImmediate(() => order.push('loop'))
  await claimed
  expect(order).toEqual(['loop', 'hash'])
})

test('a fingerprint stays what it was, so that a repeat over an upgrade is a repeat', async () => {
  const data = new UploadedImage(Buffer.from('a picture'))
  expect(await fingerprintOf({ prompt: 'a banana', seed: undefined, images: [{ data }] })).toBe(
    '705e3f98561d73ddd008372db7453163ff84d852017c2a7840de2757e7f953b6',
  )
})

test('members may come in any order, images and their bytes may not', async () => {
  const [one, other] = ['one', 'other'].map((text) => ({
    data: new UploadedImage(Buffer.from(text)),
  }))
  const first = await fingerprintOf({ prompt: 'a banana', images: [one, other] })
  expect(await fingerprintOf({ images: [one, other], prompt: 'a banana' })).toBe(first)
  expect(await fingerprintOf({ prompt: 'a banana', images: [other, one] })).not.toBe(first)
})
