import type { Name } from './environment.ts'
import type { Reading } from './read.ts'

export interface S3Storage {
  readonly kind: 's3'
  readonly endpoint: string
  readonly bucket: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Address under which the bucket is public; unset means signed URLs. */
  readonly publicUrl: string | undefined
}
export type Storage = S3Storage | { readonly kind: 'disk' } | { readonly kind: 'inline' }

const S3_NEEDED = ['S3_ENDPOINT', 'S3_BUCKET', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] as const
const R2_NEEDED = [
  'R2_ACCOUNT_ID',
  'R2_BUCKET',
  'R2_ACCESS_KEY_ID',
  'R2_SECRET_ACCESS_KEY',
] as const
const S3_NAMES: readonly Name[] = [...S3_NEEDED, 'S3_REGION', 'S3_PUBLIC_URL']
const R2_NAMES: readonly Name[] = [...R2_NEEDED, 'R2_PUBLIC_URL']

export type StorageFallback = 'inline' | 'disk'

/**
 * The object store, and the bucket if one is configured, in which older pictures may lie. Pushes what
 * is wrong, and then answers the fallback.
 */
export function resolveStorage(
  reading: Reading,
  fallback: StorageFallback,
): { storage: Storage; s3: S3Storage | undefined } {
  const wanted = reading.values.STORAGE
  const s3 = credentials(reading)
  if (wanted === 'disk' || wanted === 'inline') return { storage: { kind: wanted }, s3 }
  if (wanted === 's3' && ![...S3_NAMES, ...R2_NAMES].some(reading.isSet))
    reading.problems.push(`STORAGE=s3 needs ${S3_NEEDED.join(', ')}, or ${R2_NEEDED.join(', ')}`)
  return { storage: s3 ?? { kind: fallback }, s3 }
}

function credentials({ values, problems, isSet }: Reading): S3Storage | undefined {
  const s3 = S3_NAMES.some(isSet)
  const r2 = R2_NAMES.some(isSet)
  if (!s3 && !r2) return undefined
  if (s3 && r2) {
    problems.push('S3_* and R2_* are both set; keep one group')
    return undefined
  }
  const missing = (s3 ? S3_NEEDED : R2_NEEDED).filter((name) => !isSet(name))
  if (missing.length > 0) {
    problems.push(`${s3 ? 'S3' : 'R2'}_* is incomplete: set ${missing.join(', ')} too`)
    return undefined
  }
  return s3 ? s3Store(values) : r2Store(values)
}

type Values = Reading['values']

// Every name is set here; one whose value was refused is `undefined`, and the start fails anyway.
const s3Store = (values: Values): S3Storage => ({
  kind: 's3',
  endpoint: values.S3_ENDPOINT ?? '',
  bucket: values.S3_BUCKET ?? '',
  region: values.S3_REGION ?? (isR2(values.S3_ENDPOINT) ? 'auto' : 'us-east-1'),
  accessKeyId: values.S3_ACCESS_KEY_ID ?? '',
  secretAccessKey: values.S3_SECRET_ACCESS_KEY ?? '',
  publicUrl: values.S3_PUBLIC_URL,
})

const r2Store = (values: Values): S3Storage => ({
  kind: 's3',
  endpoint: `https://${values.R2_ACCOUNT_ID ?? ''}.r2.cloudflarestorage.com`,
  bucket: values.R2_BUCKET ?? '',
  region: 'auto',
  accessKeyId: values.R2_ACCESS_KEY_ID ?? '',
  secretAccessKey: values.R2_SECRET_ACCESS_KEY ?? '',
  publicUrl: values.R2_PUBLIC_URL,
})

const isR2 = (endpoint: string | undefined) =>
  endpoint !== undefined && new URL(endpoint).hostname.endsWith('.r2.cloudflarestorage.com')
