const MIN_BYTES = 32
// A hex secret has at most 16 distinct bytes; asking for more than 8 would refuse good ones.
const MIN_DISTINCT_BYTES = 8

/** Letters and digits of what samples and tutorials ship. */
const PLACEHOLDERS = [
  'changeme',
  'changethis',
  'replaceme',
  'replacethis',
  'placeholder',
  'randomstring',
  'yoursecret',
  'yourjwtsecret',
  'yourapikey',
  'supersecret',
  'keyboardcat',
  'abcdefghijklmnopqrstuvwxyz',
]

/** Whether a sample stands anywhere in the value, however it is written or padded. */
export function holdsPlaceholder(value: string): boolean {
  const plain = value.toLowerCase().replace(/[^a-z0-9]/g, '')
  return PLACEHOLDERS.some((sample) => plain.includes(sample))
}

/** Why a signing secret or pepper cannot be used, or undefined when it can. */
export function weaknessOf(secret: string): string | undefined {
  const bytes = Buffer.from(secret, 'utf8')
  if (holdsPlaceholder(secret)) return 'is a known placeholder'
  if (bytes.length < MIN_BYTES) return `is shorter than ${MIN_BYTES} bytes`
  if (new Set(bytes).size < MIN_DISTINCT_BYTES)
    return `has fewer than ${MIN_DISTINCT_BYTES} distinct bytes`
  return undefined
}
