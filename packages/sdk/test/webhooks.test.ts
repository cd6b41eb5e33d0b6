import { expect, test } from 'vitest'
import { createTestApp } from '../../server/test/harness.ts'
import { createReceiver } from '../../server/test/webhook-receiver.ts'
import { NanoBanana } from '../src/index.ts'
import { verify } from '../src/webhooks.ts'

test('what the service sends is believed, by the old and the new secret while both sign', async () => {
  await using receiver = await createReceiver()
  await using app = await createTestApp({ env: { PUBLIC_URL: '', WEBHOOK_ALLOW_PRIVATE: 'true' } })
  const user = await app.register()
  const account = new NanoBanana({ baseUrl: await app.listen(), apiKey: user.token })
  const { id, secret } = await account.webhooks.create({
    url: receiver.url,
    events: ['generation.succeeded'],
  })
  const { secret: newer } = await account.webhooks.rotateSecret({ id })
  const made = await account
    .withApiKey((await app.createKey(user)).key)
    .generate({ prompt: 'Bänänä 🍌' })

  await expect.poll(() => receiver.received.length, { timeout: 10_000 }).toBe(1)
  const { body, headers } = receiver.received[0]!
  for (const one of [secret, newer]) {
    const message = await verify(body, headers, one)
    expect(message).toMatchObject({
      type: 'generation.succeeded',
      data: { id: made.id, prompt: 'Bänänä 🍌', images: [{ sha256: made.images[0]?.sha256 }] },
    })
  }
  const deliveries: string[] = []
  for await (const { message_id } of account.webhooks.deliveries({ id }))
    deliveries.push(message_id)
  expect(deliveries).toEqual([headers['webhook-id']])
})
