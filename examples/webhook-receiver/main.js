// WEBHOOK_SECRET=whsec_… PORT=4000 node main.js
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { verify, WebhookVerificationError } from '@nanobanana/sdk/webhooks'

const { WEBHOOK_SECRET: secret, PORT: port = '4000' } = process.env
if (secret === undefined) throw new Error('WEBHOOK_SECRET is not set')

// A message may come twice, under the same id. In earnest this belongs into your database.
const seen = new Set()

function work(id, { type, data }) {
  if (seen.has(id)) return
  seen.add(id)
  console.log(`${type} ${data.id}: ${data.url ?? data.error?.message}`)
}

const server = createServer(async (request, response) => {
  try {
    // The raw bytes: JSON that was parsed and written again has another signature.
    const message = await verify(await buffer(request), request.headers, secret)
    // Answer first and work afterwards: after 15 s the service tries again.
    response.writeHead(204).end()
    work(request.headers['webhook-id'], message)
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) console.error(error)
    response.writeHead(error instanceof WebhookVerificationError ? 400 : 500).end()
  }
})
server.listen(Number(port), () => console.log(`listens on port ${server.address().port}`))
