import { listen } from './listen.ts'
import { readBody } from './request-body.ts'
import { createRequestLog, digestBlobs } from './request-log.ts'
import type { LoggedRequest } from './request-log.ts'

export interface SecondOrigin {
  origin: string
  /** Whatever followed a redirect here: no request should, least of all with the key. */
  requests: LoggedRequest[]
  clear: () => void
  close: () => Promise<void>
}

export async function startSecondOrigin(host?: string): Promise<SecondOrigin> {
  const log = createRequestLog(1000)
  const listener = await listen(
    async (request, response) => {
      const entry = log.add(request)
      response.on('close', () => {
        entry.closedAt = Date.now()
      })
      const bytes = await readBody(request, 100_000_000).catch(() => Buffer.alloc(0))
      entry.bodyBytes = bytes.length
      entry.body = tryParse(bytes.toString())
      entry.status = 200
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    },
    { host },
  )
  return { ...listener, requests: log.entries, clear: log.clear }
}

function tryParse(text: string): unknown {
  try {
    return digestBlobs(JSON.parse(text))
  } catch {
    return text.slice(0, 1000)
  }
}
