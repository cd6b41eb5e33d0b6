import type { IncomingMessage } from 'node:http'

import { GoogleError, invalidArgument } from './google-error.ts'

/** Reads a request to its end, keeping no more than `maxBytes` of it. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= maxBytes) chunks.push(chunk)
    else chunks.length = 0
  }
  if (length <= maxBytes) return Buffer.concat(chunks)
  // NOTE: the text is remembered from other models, not seen for an image model.
  const text = `Request payload size exceeds the limit: ${maxBytes} bytes.`
  throw new GoogleError(invalidArgument(text))
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new GoogleError(
      invalidArgument(`Invalid JSON payload received. Unexpected token.\n${text.slice(0, 40)}\n^`),
    )
  }
}
