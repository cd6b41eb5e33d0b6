import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

import { isObject } from './json.ts'

export interface LoggedRequest {
  id: number
  method: string
  path: string
  /** Lower-case names; keys, tokens and cookies are masked, see `maskKey`. */
  headers: Record<string, string>
  bodyBytes: number
  /** The parsed body; base64 is replaced by a `BlobDigest`, text that is no JSON by a string. */
  body: unknown
  /** Milliseconds since 1970. */
  startedAt: number
  closedAt?: number
  status?: number
  scenario?: string
  /** The caller went away before it had the whole answer. */
  aborted: boolean
}

/** Stands in the log for base64: the length and hash of the decoded bytes. */
export interface BlobDigest {
  bytes: number
  sha256: string
}

export interface RequestLog {
  readonly entries: LoggedRequest[]
  add: (request: IncomingMessage) => LoggedRequest
  clear: () => void
}

const SECRET_HEADERS = ['x-goog-api-key', 'authorization', 'cookie']
const BASE64_FIELDS = ['data', 'thoughtSignature', 'thought_signature']

/** Keeps the newest `limit` requests. */
export function createRequestLog(limit: number): RequestLog {
  const entries: LoggedRequest[] = []
  let lastId = 0
  return {
    entries,
    add: (request) => {
      lastId += 1
      const entry: LoggedRequest = {
        id: lastId,
        method: request.method ?? '',
        path: maskPath(request.url ?? ''),
        headers: maskHeaders(request.headers),
        bodyBytes: 0,
        body: undefined,
        startedAt: Date.now(),
        aborted: false,
      }
      entries.push(entry)
      if (entries.length > limit) entries.shift()
      return entry
    },
    clear: () => {
      entries.length = 0
    },
  }
}

/** Tells two keys apart without showing either. */
export function maskKey(key: string): string {
  return key && `sha256:${sha256(key).slice(0, 12)}`
}

export function digestBlobs(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(digestBlobs)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      typeof inner === 'string' && BASE64_FIELDS.includes(key) ? digest(inner) : digestBlobs(inner),
    ]),
  )
}

function digest(base64: string): BlobDigest {
  const bytes = Buffer.from(base64, 'base64')
  return { bytes: bytes.length, sha256: sha256(bytes) }
}

function maskHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const flat = Object.entries(headers).map(([name, value = '']) => {
    const text = Array.isArray(value) ? value.join(', ') : value
    return [name, SECRET_HEADERS.includes(name) ? maskKey(text) : text]
  })
  return Object.fromEntries(flat)
}

function maskPath(path: string): string {
  return path.replace(/([?&]key=)([^&]*)/g, (_, name: string, key: string) => name + maskKey(key))
}

function sha256(value: string | Buffer): string {
  return createHash('sha256').update(value).digest('hex')
}
