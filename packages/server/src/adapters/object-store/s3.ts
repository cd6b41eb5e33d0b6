import type { Readable } from 'node:stream'
import type * as S3 from '@aws-sdk/client-s3'
import type { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import {
  isObjectKey,
  OBJECT_PREFIX,
  ObjectStoreError,
  type ByteRange,
  type ListedObject,
  type ObjectStore,
  type ObjectToPut,
  type ObjectUrl,
} from '../../ports/object-store.ts'
import { attempt, attemptEach, codeOf } from './attempt.ts'
import { confirmPut } from './s3-confirm.ts'

export interface S3Options {
  readonly endpoint: string
  readonly bucket: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Base of lasting addresses, for a bucket the world may read. */
  readonly publicUrl?: string
  /** Life of a signed address. */
  readonly urlTtlSeconds: number
  /** Of one attempt of three; default 30 000. */
  readonly requestTimeoutMs?: number
  /** Objects in one answer of a list; default 1000, the most that S3 gives. */
  readonly pageLength?: number
  readonly now: () => Date
}

const CONNECTION_TIMEOUT_MS = 3000
const REQUEST_TIMEOUT_MS = 30_000
const MAX_ATTEMPTS = 3
const PAGE_LENGTH = 1000
const PROBE_KEY = 'nanobanana-check'

/** Keeps objects in an S3-compatible bucket (AWS S3, Cloudflare R2, Swift's s3api and others). */
export function createS3ObjectStore(options: S3Options): ObjectStore {
  const { bucket } = options
  let connection: ReturnType<typeof connect> | undefined
  const connected = () => (connection ??= connect(options))

  return {
    kind: 's3',

    async put(object) {
      if (!isObjectKey(object.key)) throw new ObjectStoreError(`refused key ${object.key}`)
      const { client, s3 } = await connected()
      await refusable(`put ${object.key}`, async () => {
        const answer = await client.send(putCommand(s3, object, bucket, cacheControl(options)))
        await confirmPut({ s3, client, bucket }, object, answer.ETag)
      })
    },

    async read(key, range) {
      if (!isObjectKey(key)) return undefined
      const { client, s3 } = await connected()
      const command = new s3.GetObjectCommand({
        Bucket: bucket,
        Key: key,
        ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` }),
      })
      return refusable(`read ${key}`, async () => {
        const found = await find(client.send(command))
        if (found !== undefined && range !== undefined) refuseOtherRange(found, range)
        return found?.Body as Readable | undefined
      })
    },

    async delete(key) {
      if (!isObjectKey(key)) return
      const { client, s3 } = await connected()
      // One by one: DeleteObjects wants a checksum header that not every server knows.
      const command = new s3.DeleteObjectCommand({ Bucket: bucket, Key: key })
      await refusable(`delete ${key}`, () => find(client.send(command)))
    },

    async url(key) {
      if (!isObjectKey(key)) return null
      if (options.publicUrl === undefined) return signedUrl(await connected(), options, key)
      return { url: `${options.publicUrl.replace(/\/+$/, '')}/${key}`, expiresAt: null }
    },

    list: (prefix = OBJECT_PREFIX) =>
      attemptEach(
        `list bucket ${bucket}`,
        async function* () {
          yield* listPages(await connected(), options, prefix)
        },
        reason,
      ),

    async now() {
      const { client, s3 } = await connected()
      const command = new s3.ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1, Prefix: PROBE_KEY })
      return refusable('read the clock', () => dateOfAnswer(client, command))
    },

    async check() {
      const { client, s3 } = await connected()
      await refusable(`use bucket ${bucket}`, async () => {
        const probe = { Bucket: bucket, Key: PROBE_KEY }
        if (await exists(client.send(new s3.GetObjectCommand(probe)))) return
        await client.send(new s3.PutObjectCommand({ ...probe, Body: PROBE_KEY }))
      })
    },
  }
}

const refusable = <T>(what: string, work: () => Promise<T>) => attempt(what, work, reason)

interface Connection {
  readonly s3: typeof S3
  readonly client: S3.S3Client
  readonly presign: typeof getSignedUrl
}

// Loaded on first use: the SDK costs a tenth of a second of every start.
async function connect(options: S3Options): Promise<Connection> {
  const [s3, presigner] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('@aws-sdk/s3-request-presigner'),
  ])
  const client = new s3.S3Client({
    region: options.region,
    endpoint: options.endpoint,
    credentials: {
      accessKeyId: options.accessKeyId,
      secretAccessKey: options.secretAccessKey,
    },
    forcePathStyle: true,
    // The default adds CRC32 trailers, which R2 and others have refused or stored as data.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  })
  return { s3, client, presign: presigner.getSignedUrl }
}

async function* listPages(
  { client, s3 }: Connection,
  { bucket, pageLength = PAGE_LENGTH }: S3Options,
  prefix: string,
): AsyncGenerator<ListedObject> {
  let token: string | undefined
  do {
    const page = await client.send(
      new s3.ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        MaxKeys: pageLength,
        ContinuationToken: token,
      }),
    )
    for (const { Key: key, LastModified: modifiedAt, Size: bytes = 0 } of page.Contents ?? []) {
      if (key !== undefined && modifiedAt !== undefined && isObjectKey(key))
        yield { key, modifiedAt, bytes }
    }
    token = page.NextContinuationToken
  } while (token !== undefined)
}

/** Every server must send its time, in the header `Date`. */
async function dateOfAnswer(client: S3.S3Client, command: S3.ListObjectsV2Command): Promise<Date> {
  let date: string | undefined
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      date = (result.response as { headers: Record<string, string> }).headers['date']
      return result
    },
    { step: 'deserialize', name: 'readDate', priority: 'low' },
  )
  await client.send(command)
  const time = new Date(date ?? '')
  if (Number.isNaN(time.getTime())) throw new Error('the server does not tell its time')
  return time
}

function putCommand(
  s3: typeof S3,
  { key, bytes, contentType, sha256, filename }: ObjectToPut,
  bucket: string,
  cache: string,
): S3.PutObjectCommand {
  const command = new s3.PutObjectCommand({
    Bucket: bucket,
    Key: key,
    // A stream would be sent in signed chunks, which R2 does not take.
    Body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    ContentType: contentType,
    ContentDisposition: inline(filename),
    CacheControl: cache,
  })
  // The signature then covers the digest we record: the SDK need not hash the bytes again, and the
  // server refuses any others.
  command.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> }
      headers['x-amz-content-sha256'] = sha256
      return next(args)
    },
    { step: 'build', name: 'knownDigest' },
  )
  return command
}

// A shared cache may outlive a deletion, a browser's own may not matter.
const cacheControl = ({ publicUrl }: S3Options): string =>
  publicUrl === undefined ? 'private, max-age=31536000, immutable' : 'public, max-age=86400'

const inline = (filename: string): string =>
  `inline; filename="${filename.replaceAll(/[^\w.-]/g, '_')}"`

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  webp: 'image/webp',
}

async function signedUrl(
  { s3, client, presign }: Connection,
  { bucket, urlTtlSeconds, now }: S3Options,
  key: string,
): Promise<ObjectUrl> {
  const signingDate = new Date(Math.floor(now().getTime() / 1000) * 1000)
  const contentType = CONTENT_TYPES[key.slice(key.lastIndexOf('.') + 1)]
  const command = new s3.GetObjectCommand({
    Bucket: bucket,
    Key: key,
    // Signed in, so that the address says the type even if somebody else wrote the object.
    ...(contentType === undefined ? {} : { ResponseContentType: contentType }),
  })
  const url = await presign(client, command, { expiresIn: urlTtlSeconds, signingDate })
  return { url, expiresAt: new Date(signingDate.getTime() + urlTtlSeconds * 1000) }
}

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode

/**
 * A probe that reads shows that the credentials work, so only its first absence costs a write. A key
 * without the right to list is told 403 of a missing object; HeadBucket would ask for yet another.
 */
async function exists(answer: Promise<S3.GetObjectCommandOutput>): Promise<boolean> {
  try {
    await (await answer).Body?.transformToByteArray()
    return true
  } catch (error) {
    const status = statusOf(error)
    if (status === 403 || status === 404) return false
    throw error
  }
}

/** A server may ignore a range; its answer must not pass for the part. */
function refuseOtherRange(
  { Body, ContentRange }: S3.GetObjectCommandOutput,
  range: ByteRange,
): void {
  if (ContentRange?.startsWith(`bytes ${range.start}-${range.end}/`)) return
  ;(Body as Readable).destroy()
  throw new Error('another range was answered')
}

/** Undefined for a missing object; a missing bucket is an error. */
async function find<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (codeOf(error) === 'NoSuchKey') return undefined
    throw error
  }
}

const REASONS: Readonly<Record<string, string>> = {
  SignatureDoesNotMatch: 'the secret access key, or the access key id, is wrong',
  InvalidAccessKeyId: 'the access key id is unknown',
  AccessDenied: 'the access key may not do this',
  NoSuchBucket: 'the bucket does not exist',
}

function reason(error: unknown): string {
  const known = REASONS[codeOf(error)] ?? 'it failed'
  const status = statusOf(error)
  return `${known} (${codeOf(error)}${status === undefined ? '' : `, HTTP ${status}`})`
}
