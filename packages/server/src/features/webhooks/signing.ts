import { createHmac, randomBytes } from 'node:crypto'

const PREFIX = 'whsec_'
const SECRET_BYTES = 32

export const generateSecret = (): Buffer => randomBytes(SECRET_BYTES)

/** As its owner gets to see it, once. */
export const displaySecret = (secret: Uint8Array): string =>
  `${PREFIX}${Buffer.from(secret).toString('base64')}`

export interface Signed {
  /** `webhook-id`: the same in every attempt. */
  readonly messageId: string
  /** Whole seconds since 1970, of the attempt. */
  readonly timestamp: number
  readonly body: string
}

/** The headers of Standard Webhooks 1.0; each secret signs, so that one can take the other's place. */
export function signedHeaders(
  secrets: readonly Uint8Array[],
  { messageId, timestamp, body }: Signed,
): Record<string, string> {
  const content = `${messageId}.${timestamp}.${body}`
  const signatures = secrets.map(
    (secret) => `v1,${createHmac('sha256', secret).update(content).digest('base64')}`,
  )
  return {
    'webhook-id': messageId,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatures.join(' '),
  }
}
