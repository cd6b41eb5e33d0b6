// Waits for the S3 server named by TEST_S3_*, creates the bucket, and sees that it is a strict one: what is
// written with a signature comes back, and nobody without one gets in. The client is the service's own.
import { createRequire } from 'node:module'
import { setTimeout } from 'node:timers/promises'

const require = createRequire(new URL('../packages/server/package.json', import.meta.url))
const {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} = require('@aws-sdk/client-s3')

const { TEST_S3_ENDPOINT: endpoint, TEST_S3_BUCKET: Bucket } = process.env
const client = (secretAccessKey) =>
  new S3Client({
    endpoint,
    region: 'auto',
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 1,
    credentials: { accessKeyId: process.env.TEST_S3_ACCESS_KEY_ID, secretAccessKey },
  })
const s3 = client(process.env.TEST_S3_SECRET_ACCESS_KEY)

async function createBucket(deadline = Date.now() + 30_000) {
  for (;;) {
    try {
      return await s3.send(new CreateBucketCommand({ Bucket }))
    } catch (error) {
      if (error.name === 'BucketAlreadyOwnedByYou') return
      if (Date.now() > deadline) throw error
      await setTimeout(200)
    }
  }
}

const Key = 'is-it-strict'
await createBucket()
await s3.send(new PutObjectCommand({ Bucket, Key, Body: Buffer.from('yes') }))
const got = await s3.send(new GetObjectCommand({ Bucket, Key }))
if ((await got.Body.transformToString()) !== 'yes') throw new Error('the object came back changed')

const forged = await client('wrong')
  .send(new GetObjectCommand({ Bucket, Key }))
  .catch((error) => error.$metadata?.httpStatusCode)
if (forged !== 403)
  throw new Error(`a wrong secret answered ${forged?.$metadata?.httpStatusCode ?? forged}`)
const anonymous = await fetch(`${endpoint}/${Bucket}/${Key}`)
if (anonymous.status < 400) throw new Error(`an anonymous GET answered ${anonymous.status}`)
