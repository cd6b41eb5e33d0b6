import { createHash } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type * as S3 from '@aws-sdk/client-s3'
import type { ObjectToPut } from '../../ports/object-store.ts'

interface Bucket {
  readonly s3: typeof S3
  readonly client: S3.S3Client
  readonly bucket: string
}

/** Between the looks for an object that is not there yet, as in a store of several copies. */
const PAUSES_MS = [200, 1000]

/**
 * Rejects unless what was put can be read, and is what was sent. A server may acknowledge a put that
 * its readers do not see, or that a proxy on the way has changed.
 */
export async function confirmPut(
  at: Bucket,
  object: ObjectToPut,
  etag: string | undefined,
): Promise<void> {
  await lookFor(at, object.key)
  const told = MD5_ETAG.exec(etag ?? '')?.[1]?.toLowerCase()
  if (told === undefined || told === (await md5Of(object.bytes))) return
  // Under some ways of encryption the ETag looks like a digest of the bytes, and is none.
  if ((await storedDigest(at, object.key)) !== object.sha256) {
    throw new Error('the store keeps other bytes than were sent')
  }
}

async function lookFor({ client, s3, bucket }: Bucket, key: string): Promise<void> {
  for (const pauseMs of PAUSES_MS) {
    if (await isThere()) return
    await sleep(pauseMs)
  }
  if (!(await isThere())) throw new Error('the store does not show what it has acknowledged')

  async function isThere(): Promise<boolean> {
    try {
      await client.send(new s3.HeadObjectCommand({ Bucket: bucket, Key: key }))
      return true
    } catch (error) {
      // By its status: the class is not always that of the SDK.
      if (statusOf(error) === 404) return false
      throw error
    }
  }
}

const statusOf = (error: unknown): number | undefined =>
  (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode

const MD5_ETAG = /^"?([0-9a-f]{32})"?$/i
const SLICE_BYTES = 2 ** 18

/** In slices: a large picture would hold the event loop for 10 ms, and no other thread makes MD5. */
async function md5Of(bytes: Uint8Array): Promise<string> {
  const hash = createHash('md5')
  for (let at = 0; at < bytes.byteLength; at += SLICE_BYTES) {
    hash.update(bytes.subarray(at, at + SLICE_BYTES))
    await nextTurn()
  }
  return hash.digest('hex')
}

async function storedDigest({ client, s3, bucket }: Bucket, key: string): Promise<string> {
  const { Body } = await client.send(new s3.GetObjectCommand({ Bucket: bucket, Key: key }))
  const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array()
  return createHash('sha256').update(bytes).digest('hex')
}
