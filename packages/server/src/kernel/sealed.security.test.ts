import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { seal, unseal } from './sealed.ts'

const [newest, older, other] = [randomBytes(32), randomBytes(32), randomBytes(32)]
const secret = Buffer.from('a secret that is signed with')

test('what one key of the list sealed opens, and shows nothing of itself before', () => {
  const sealed = seal(older, secret, 'owner')
  expect(unseal([newest, older], sealed, 'owner')).toEqual(secret)
  expect(sealed.includes(secret)).toBe(false)
  expect(seal(older, secret, 'owner')).not.toEqual(sealed)
})

test('nothing opens under other keys, another owner or with a bit changed', () => {
  const sealed = seal(newest, secret, 'owner')
  expect(unseal([older, other], sealed, 'owner')).toBeUndefined()
  expect(unseal([newest], sealed, 'another')).toBeUndefined()
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    expect(unseal([newest], changed, 'owner'), String(at)).toBeUndefined()
    expect(unseal([newest], sealed.subarray(0, at), 'owner'), String(at)).toBeUndefined()
  }
})
