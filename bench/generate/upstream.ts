// Answers every call as Gemini does, with one picture of 1.4 MB; and keeps nothing of what is stored in it.
//   node upstream.ts    prints its address
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type Sharp from 'sharp'

// The service's own, which stands in no folder above this one.
const require = createRequire(join(import.meta.dirname, '../../packages/server/package.json'))
const sharp = require('sharp') as typeof Sharp

/** Gives 1.4 MB of noise. */
const QUALITY = 99

const noise = { type: 'gaussian' as const, mean: 128, sigma: 40 }
const background = { r: 245, g: 211, b: 60 }
const create = { width: 1024, height: 1024, channels: 3 as const, background, noise }
const picture = await sharp({ create }).jpeg({ quality: QUALITY }).toBuffer()

const answer = Buffer.from(
  JSON.stringify({
    candidates: [
      {
        content: {
          role: 'model',
          parts: [{ inlineData: { mimeType: 'image/jpeg', data: picture.toString('base64') } }],
        },
        finishReason: 'STOP',
        index: 0,
      },
    ],
    usageMetadata: {
      promptTokenCount: 4,
      candidatesTokenCount: 1120,
      totalTokenCount: 1124,
      candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: 1120 }],
    },
    modelVersion: 'gemini-3-pro-image',
  }),
)

async function etagOf(request: IncomingMessage): Promise<string> {
  const hash = createHash('md5')
  for await (const chunk of request) hash.update(chunk as Buffer)
  return `"${hash.digest('hex')}"`
}

const server = createServer((request, response) => {
  if (request.method === 'PUT') {
    void etagOf(request).then((etag) => response.writeHead(200, { etag }).end())
    return
  }
  request.resume()
  if (request.method !== 'POST') return void response.writeHead(200).end()
  response.writeHead(200, {
    'content-type': 'application/json; charset=UTF-8',
    'content-length': answer.length,
  })
  response.end(answer)
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.stdout.write(`http://127.0.0.1:${port} ${picture.length} ${answer.length}\n`)
})
