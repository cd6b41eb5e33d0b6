import { createHmac, timingSafeEqual } from 'node:crypto'

const VERSION = 'v1'

interface Signed {
  readonly path: string
  /** Seconds since 1970. */
  readonly expires: number
}

const mac = (key: Uint8Array, { path, expires }: Signed): Buffer =>
  createHmac('sha256', key).update([VERSION, 'GET', path, expires, 'inline'].join('\n')).digest()

/** Query that lets anyone read one path until it expires. */
export function signPath(key: Uint8Array, signed: Signed): string {
  return `exp=${signed.expires}&sig=${mac(key, signed).toString('base64url')}`
}

/** Whether the signature is ours, under any of the keys, and has not expired. */
export function isSigned(
  keys: readonly Uint8Array[],
  signed: Signed,
  signature: string,
  now: Date,
): boolean {
  const given = Buffer.from(signature, 'base64url')
  const genuine = keys.some((key) => {
    const expected = mac(key, signed)
    return given.length === expected.length && timingSafeEqual(given, expected)
  })
  return genuine && signed.expires * 1000 > now.getTime()
}
