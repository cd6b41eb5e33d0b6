import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Mode } from '@nanobanana/shared'
import type { Pepper } from '../../kernel/secrets.ts'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const RANDOM_CHARACTERS = 32
// The largest multiple of 62 in a byte: what lies above is drawn again, or the first characters
// of the alphabet would come up more often.
const UNBIASED_BYTES = 248

const KEY_FORM = /^nb_(live|test)_[0-9A-Za-z]{32}$/
const PREFIX_CHARACTERS = 12

function randomBase62(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < UNBIASED_BYTES && text.length < length) text += ALPHABET[byte % ALPHABET.length]
    }
  }
  return text
}

/** A new key: `nb_live_` or `nb_test_` and 32 random base62 characters (190.5 bits). */
export const generateKey = (mode: Mode): string => `nb_${mode}_${randomBase62(RANDOM_CHARACTERS)}`

/** Whether the text can be a key at all; nothing else reaches the database. */
export const hasKeyForm = (text: string): boolean => KEY_FORM.test(text)

/** What lists show: `nb_live_`, four more characters and `...`. */
export const displayPrefix = (key: string): string => `${key.slice(0, PREFIX_CHARACTERS)}...`

export const digestOf = (key: string, pepper: Pepper): Buffer =>
  createHmac('sha256', pepper.bytes).update(key).digest()

/** Whether one of the digests is the stored one, in constant time. */
export const matchesStored = (digests: readonly Uint8Array[], stored: Uint8Array): boolean =>
  digests.some((digest) => digest.length === stored.length && timingSafeEqual(digest, stored))
