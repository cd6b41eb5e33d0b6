import { domainToASCII } from 'node:url'

export interface Email {
  /** The unique key: lower-case, the host in punycode. */
  readonly normalised: string
  /** As it was written, for display. */
  readonly display: string
}

const MAX_BYTES = 254
const MAX_LOCAL_BYTES = 64

/** The address in its one comparable form, or undefined when it is not one. */
export function normaliseEmail(raw: string): Email | undefined {
  if (raw.length > 1024 || !raw.isWellFormed() || FORBIDDEN.test(raw)) return undefined
  const display = raw.trim().normalize('NFC')
  const [local = '', host = '', ...more] = display.split('@')
  if (more.length > 0 || !isLocalPart(local)) return undefined
  const asciiHost = hostInAscii(host)
  if (asciiHost === undefined) return undefined
  // Lower-casing can take a string out of NFC.
  const normalised = `${local.toLowerCase().normalize('NFC')}@${asciiHost}`
  if (Math.max(bytesOf(normalised), bytesOf(display)) > MAX_BYTES) return undefined
  return { normalised, display }
}

const bytesOf = (text: string) => Buffer.byteLength(text, 'utf8')

// Controls (CR and LF too), format characters (bidi marks), line separators, private use.
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/u

// Dot-atom of RFC 5322 with the non-ASCII letters of RFC 6531; no quoted form.
const LOCAL_PART = /^[^\s"(),.:;<>@[\\\]]+(?:\.[^\s"(),.:;<>@[\\\]]+)*$/u

const isLocalPart = (local: string) =>
  LOCAL_PART.test(local) &&
  Math.max(bytesOf(local), bytesOf(local.toLowerCase().normalize('NFC'))) <= MAX_LOCAL_BYTES

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

function hostInAscii(host: string): string | undefined {
  // The URL parser behind domainToASCII would decode %2e and cut at these.
  if (/[\s%/\\?#:[\]]/.test(host)) return undefined
  const ascii = domainToASCII(host)
  const labels = ascii.split('.')
  // A last label of digits is an IPv4 address, in whatever notation it was written.
  const named = labels.length > 1 && labels.every((label) => LABEL.test(label))
  return named && !/^\d+$/.test(labels.at(-1) ?? '') ? ascii : undefined
}
