import { createHash } from 'node:crypto'
import { UploadedImage } from '@nanobanana/shared'
import { AppError } from '../../kernel/app-error.ts'
import type { Principal } from '../../kernel/principal.ts'
import { sha256Of } from '../../kernel/sha256.ts'
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
export async function claimOf(
  principal: Principal,
  header: string,
  procedure: string,
  input: unknown,
): Promise<Claim> {
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
      .update(await canonical([procedure, input]))
      .digest(),
  }
}

/** JSON whose members are in order; an uploaded image stands for its bytes. */
async function canonical(value: unknown): Promise<string> {
  if (value instanceof UploadedImage) return `<${await sha256Of(value.bytes)}>`
  if (Array.isArray(value)) return `[${(await canonicalItems(value)).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(async ([name, member]) => `${JSON.stringify(name)}:${await canonical(member)}`)
  return `{${(await Promise.all(members)).join()}}`
}

/** One after the other, so that of all images no more than one is copied for its hash. */
async function canonicalItems(items: readonly unknown[]): Promise<string[]> {
  const texts: string[] = []
  for (const item of items) texts.push(await canonical(item))
  return texts
}
