import { createHash } from 'node:crypto'
import { UploadedImage } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Principal } from '../../kernel/principal.ts'
import type { Claim } from './idempotency.repo.ts'

/** Visible ASCII. */
const BARE = /^[\x21\x23-\x7e][\x21-\x7e]*$/
/** A string as structured fields write it, which is how the IETF's draft does. */
const QUOTED = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/
const MAX_LENGTH = 255

/** What the header says; undefined for what is no key. */
function parseKey(header: string): string | undefined {
  const quoted = QUOTED.exec(header)?.[1]?.replaceAll(/\\(.)/g, '$1')
  const key = quoted ?? BARE.exec(header)?.[0]
  return key !== undefined && key.length <= MAX_LENGTH ? key : undefined
}

/**
 * What a request with the header `Idempotency-Key` claims. `procedure` is the same for all its faces,
 * so that a repeat over another one is a repeat.
 */
export function claimOf(
  principal: Principal,
  header: string,
  procedure: string,
  input: unknown,
): Claim {
  const key = parseKey(header)
  if (key === undefined) {
    throw new AppError(
      'invalid_input',
      'Idempotency-Key: must be 1 to 255 visible ASCII characters.',
      { param: 'Idempotency-Key' },
    )
  }
  return {
    userId: principal.userId,
    scope: principal.kind === 'key' ? principal.keyId : 'session',
    key,
    fingerprint: createHash('sha256')
      .update(canonical([procedure, input]))
      .digest(),
  }
}

/** JSON whose members are in order; an uploaded image stands for its bytes. */
function canonical(value: unknown): string {
  if (value instanceof UploadedImage) {
    return `<${createHash('sha256').update(value.bytes).digest('hex')}>`
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join()}}`
}
