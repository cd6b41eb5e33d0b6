import { bytesOfBase64 } from './base64.ts'
import type { WebhookMessage } from './generated/types.ts'

export type {
  Generation,
  GenerationError,
  GenerationStatus,
  Image,
  Mode,
  Warning,
  WebhookMessage,
} from './generated/types.ts'

/** Why a message is not believed. */
export type WebhookErrorCode = 'missing_header' | 'timestamp_out_of_range' | 'invalid_signature'

/** A message that is not from the service, or not from now. Answer it 400 and do nothing. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError'
  readonly code: WebhookErrorCode

  constructor(code: WebhookErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export interface VerifyOptions {
  /** Seconds by which the timestamp may differ from this machine's clock, either way. Default 300. */
  toleranceSeconds?: number | undefined
}

/** Headers as `fetch` has them, or as Node and its frameworks do. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | string[] | undefined>>

/**
 * Verifies a message by Standard Webhooks 1.0 and answers what it says.
 *
 * Of several signatures, as a rotated secret brings them, one that is right is enough. Rejects with
 * `WebhookVerificationError`, and with a `TypeError` for a secret that is none.
 *
 * @param body the bytes or text as they arrived: JSON that was parsed and written again differs
 * @param secret `whsec_…` of `webhooks.create` or `webhooks.rotateSecret`
 *
 * @example
 * const message = await verify(await request.text(), request.headers, secret)
 * if (message.type === 'generation.succeeded') console.log(message.data.url)
 */
export async function verify(
  body: string | Uint8Array | ArrayBuffer,
  headers: WebhookHeaders,
  secret: string,
  { toleranceSeconds = DEFAULT_TOLERANCE_SECONDS }: VerifyOptions = {},
): Promise<WebhookMessage> {
  const key = await importKey(secret)
  const id = headerOf(headers, 'webhook-id')
  const timestamp = headerOf(headers, 'webhook-timestamp')
  const signatures = headerOf(headers, 'webhook-signature')
  checkTimestamp(timestamp, toleranceSeconds)
  const bytes = typeof body === 'string' ? encode(body) : new Uint8Array(body)
  const content = joined(encode(`${id}.${timestamp}.`), bytes)
  if (!(await isSigned(key, signatures, content))) {
    throw new WebhookVerificationError('invalid_signature', 'No signature is right.')
  }
  return JSON.parse(new TextDecoder().decode(bytes)) as WebhookMessage
}

const DEFAULT_TOLERANCE_SECONDS = 300
const PREFIX = 'whsec_'
const VERSION = 'v1,'
const HMAC = { name: 'HMAC', hash: 'SHA-256' }
/** More than a rotation makes; each costs a computation. */
const MAX_SIGNATURES = 10

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(head.length + tail.length)
  all.set(head)
  all.set(tail, head.length)
  return all
}

/** Everybody could sign with an empty key, which is what a missing variable makes of a secret. */
async function importKey(secret: string): Promise<CryptoKey> {
  const text = typeof secret === 'string' ? secret.trim() : ''
  const bytes = bytesOfBase64(text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text)
  if (bytes === undefined || bytes.length === 0) {
    throw new TypeError('The secret is empty or no base64')
  }
  return crypto.subtle.importKey('raw', bytes, HMAC, false, ['verify'])
}

function headerOf(headers: WebhookHeaders, name: string): string {
  const value = headers instanceof Headers ? headers.get(name) : fieldOf(headers, name)
  if (typeof value === 'string' && value !== '') return value
  throw new WebhookVerificationError('missing_header', `The header ${name} is missing.`)
}

/** In whatever case the framework left the name. */
function fieldOf(
  headers: Exclude<WebhookHeaders, Headers>,
  name: string,
): string | string[] | undefined {
  const key = Object.keys(headers).find((one) => one.toLowerCase() === name)
  const value = key === undefined ? undefined : headers[key]
  return Array.isArray(value) && value.length === 1 ? value[0] : value
}

function checkTimestamp(timestamp: string, toleranceSeconds: number): void {
  const seconds = /^\d{1,12}$/.test(timestamp) ? Number(timestamp) : Number.NaN
  // Written so that no number at all is out of range too.
  if (Math.abs(Date.now() / 1000 - seconds) <= toleranceSeconds) return
  throw new WebhookVerificationError(
    'timestamp_out_of_range',
    `The message is more than ${toleranceSeconds} s old or from the future.`,
  )
}

/** WebCrypto compares in constant time. */
async function isSigned(
  key: CryptoKey,
  signatures: string,
  content: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  for (const one of signatures.split(' ').slice(0, MAX_SIGNATURES)) {
    const bytes = one.startsWith(VERSION) ? bytesOfBase64(one.slice(VERSION.length)) : undefined
    if (bytes !== undefined && (await crypto.subtle.verify(HMAC, key, bytes, content))) return true
  }
  return false
}
