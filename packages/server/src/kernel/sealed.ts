import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

const VERSION = 1
const FINGERPRINT_BYTES = 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
const CIPHER = 'aes-256-gcm'

/** Begins all that the key has sealed: it tells the keys of a list apart, and nothing of them. */
export const sealMark = (key: Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.of(VERSION),
    createHash('sha256').update(key).digest().subarray(0, FINGERPRINT_BYTES),
  ])

const MARK_BYTES = 1 + FINGERPRINT_BYTES
const HEADER_BYTES = MARK_BYTES + NONCE_BYTES + TAG_BYTES

/**
 * Encrypts a secret that must be read again. `owner` is whose it is: under another's name it does not
 * open, so a row that was moved is of no use.
 */
export function seal(key: Uint8Array, secret: Uint8Array, owner: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(owner))
  const text = Buffer.concat([cipher.update(secret), cipher.final()])
  return Buffer.concat([sealMark(key), nonce, cipher.getAuthTag(), text])
}

/** The secret, under whichever of the keys sealed it; undefined where none of them did. */
export function unseal(
  keys: readonly Uint8Array[],
  sealed: Uint8Array,
  owner: string,
): Buffer | undefined {
  if (sealed.length < HEADER_BYTES) return undefined
  const mark = sealed.subarray(0, MARK_BYTES)
  const key = keys.find((one) => sealMark(one).equals(mark))
  return key && open(key, sealed, owner)
}

function open(key: Uint8Array, sealed: Uint8Array, owner: string): Buffer | undefined {
  const nonce = sealed.subarray(MARK_BYTES, MARK_BYTES + NONCE_BYTES)
  const tag = sealed.subarray(MARK_BYTES + NONCE_BYTES, HEADER_BYTES)
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(owner))
    .setAuthTag(tag)
  const text = decipher.update(sealed.subarray(HEADER_BYTES))
  try {
    return Buffer.concat([text, decipher.final()])
  } catch {
    return undefined
  }
}
