import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normaliseEmail } from './email.ts'

test.each([
  ['a@x.example', 'a@x.example'],
  ['  Ada.Lovelace@X.Example ', 'ada.lovelace@x.example'],
  ['A@bücher.example', 'a@xn--bcher-kva.example'],
  ['a@BÜCHER.example', 'a@xn--bcher-kva.example'],
  ['a@xn--bcher-kva.example', 'a@xn--bcher-kva.example'],
  ['a@例え。テスト', 'a@xn--r8jz45g.xn--zckzah'],
  ['je\u0301rome@x.example', 'j\u00e9rome@x.example'],
  ['JÉRÔME@x.example', 'jérôme@x.example'],
  ["o'neil+tag=1@sub.x.example", "o'neil+tag=1@sub.x.example"],
  [`${'a'.repeat(64)}@x.example`, `${'a'.repeat(64)}@x.example`],
])('%j is kept as %j', (raw, normalised) => {
  expect(normaliseEmail(raw)?.normalised).toBe(normalised)
})

test('the display form keeps case and the written host', () => {
  expect(normaliseEmail(' Ada@Bücher.Example ')).toEqual({
    normalised: 'ada@xn--bcher-kva.example',
    display: 'Ada@Bücher.Example',
  })
})

describe('AUTH-8: refuses', () => {
  test.each([
    ['nothing', ''],
    ['only space', '   '],
    ['no @', 'a.example'],
    ['two @', 'a@b@x.example'],
    ['no local part', '@x.example'],
    ['no host', 'a@'],
    ['a host without a dot', 'a@localhost'],
    ['an inner space', 'a b@x.example'],
    ['a space in the host', 'a@x .example'],
    ['an inner no-break space', 'a\u00a0b@x.example'],
    ['a NUL', 'a\0@x.example'],
    ['CR LF at the end', 'a@x.example\r\n'],
    ['a header injection', 'a@x.example\r\nBcc: b@x.example'],
    ['a tab', '\ta@x.example'],
    ['DEL', 'a\u007f@x.example'],
    ['a line separator', 'a\u2028@x.example'],
    ['a bidi override', 'a\u202eb@x.example'],
    ['a right-to-left mark', 'a\u200f@x.example'],
    ['a zero-width space', 'a\u200b@x.example'],
    ['a soft hyphen in the host', 'a@x\u00ad.example'],
    ['a byte-order mark', '\ufeffa@x.example'],
    ['a lone surrogate', 'a\ud800@x.example'],
    ['a quoted local part', '"a b"@x.example'],
    ['a comment', 'a(b)@x.example'],
    ['a display name', 'Ada <a@x.example>'],
    ['a leading dot', '.a@x.example'],
    ['two dots', 'a..b@x.example'],
    ['a dot before @', 'a.@x.example'],
    ['a final dot of the host', 'a@x.example.'],
    ['an empty label', 'a@x..example'],
    ['a label that starts with -', 'a@-x.example'],
    ['an underscore in the host', 'a@x_y.example'],
    ['an address in brackets', 'a@[127.0.0.1]'],
    ['an IPv4 address', 'a@127.0.0.1'],
    ['a short IPv4 address', 'a@127.1'],
    ['a hex IPv4 address', 'a@0x7f.1'],
    ['a port', 'a@x.example:25'],
    ['a path', 'a@x.example/b'],
    ['a query', 'a@x.example?b'],
    ['a percent-coded dot', 'a@x%2eexample'],
    ['a backslash', 'a@x.example\\b'],
    ['bad punycode', 'a@xn--.example'],
    ['a label of 64', `a@${'x'.repeat(64)}.example`],
    ['a local part of 65', `${'a'.repeat(65)}@x.example`],
    ['a local part of 66 bytes', `${'é'.repeat(33)}@x.example`],
    ['255 bytes', `a@${'x.'.repeat(123)}example`],
    ['a megabyte', `${'a'.repeat(1_000_000)}@x.example`],
    ['much space', `${' '.repeat(100_000)}a@x.example`],
  ])('%s', (_, raw) => {
    expect(normaliseEmail(raw)).toBeUndefined()
  })
})

test('254 bytes are the bound', () => {
  const host = `${'x'.repeat(60)}.${'x'.repeat(60)}.${'x'.repeat(60)}.${'x'.repeat(10)}`
  const local = 'a'.repeat(253 - host.length)
  expect(normaliseEmail(`${local}@${host}`)?.normalised).toHaveLength(254)
  expect(normaliseEmail(`${local}a@${host}`)).toBeUndefined()
})

test('property: normalising twice changes nothing, and case never makes a second account', () => {
  const raw = fc.oneof(
    fc.emailAddress(),
    fc
      .tuple(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), fc.domain())
      .map(([local, host]) => `${local}@${host}`),
    fc
      .tuple(fc.emailAddress(), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }))
      .map(([address, label]) => address.replace('@', `@${label}.`)),
  )
  fc.assert(
    fc.property(raw, (text) => {
      const once = normaliseEmail(text)
      if (once === undefined) return
      const { normalised } = once
      expect(normalised).toBe(normalised.normalize('NFC'))
      expect(normalised).toMatch(/^[^\s@]+@[a-z0-9.-]+$/)
      expect(Buffer.byteLength(normalised)).toBeLessThanOrEqual(254)
      expect(normaliseEmail(normalised)?.normalised).toBe(normalised)
      expect(normaliseEmail(once.display)?.normalised).toBe(normalised)
    }),
    { numRuns: 2000 },
  )
})

test.each(['İstanbul@x.example', 'ΣΑΣ@x.example', 'ǅ@x.example', 'ẞ@x.example'])(
  '%s has one form, whatever its case',
  (raw) => {
    const form = normaliseEmail(raw)?.normalised
    expect(form).toBeDefined()
    expect(normaliseEmail(form ?? '')?.normalised).toBe(form)
  },
)
