// What a competent developer writes in an afternoon: the key is looked up by its hash, Gemini is called, the
// picture is stored in S3, and a row says so.   PORT UPSTREAM DATABASE_URL in the environment
import { createHash, randomUUID } from 'node:crypto'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { GoogleGenAI } from '@google/genai'
import express from 'express'
import pg from 'pg'

const { PORT, UPSTREAM, DATABASE_URL } = process.env
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 })
const ai = new GoogleGenAI({ apiKey: 'x', httpOptions: { baseUrl: UPSTREAM } })
const s3 = new S3Client({
  region: 'auto',
  endpoint: UPSTREAM,
  forcePathStyle: true,
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
  credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
})

await pool.query(
  'create table if not exists keys (digest bytea primary key, user_id uuid not null)',
)
await pool.query(`create table if not exists pictures (
  id uuid primary key, user_id uuid not null, prompt text not null, url text not null,
  tokens integer not null, created_at timestamptz not null default now())`)

const digest = (key) => createHash('sha256').update(key).digest()
await pool.query('insert into keys values ($1, $2) on conflict do nothing', [
  digest('bench'),
  randomUUID(),
])

const app = express()
app.use(express.json())
app.post('/v1/generate', async (request, response) => {
  const key = request.headers.authorization?.slice('Bearer '.length) ?? ''
  const { rows } = await pool.query('select user_id from keys where digest = $1', [digest(key)])
  if (rows.length === 0) return response.status(401).end()
  const { prompt } = request.body
  const answer = await ai.models.generateContent({
    model: 'gemini-3-pro-image',
    contents: prompt,
    config: { responseModalities: ['IMAGE'] },
  })
  const part = answer.candidates[0].content.parts.find((one) => one.inlineData !== undefined)
  const body = Buffer.from(part.inlineData.data, 'base64')
  const id = randomUUID()
  const put = { Bucket: 'b', Key: `${id}.jpg`, Body: body, ContentType: part.inlineData.mimeType }
  await s3.send(new PutObjectCommand(put))
  const url = `${UPSTREAM}/b/${id}.jpg`
  const { totalTokenCount } = answer.usageMetadata
  const { rows: inserted } = await pool.query(
    `insert into pictures (id, user_id, prompt, url, tokens) values ($1, $2, $3, $4, $5)
     returning created_at`,
    [id, rows[0].user_id, prompt, url, totalTokenCount],
  )
  response.json({ id, url, prompt, created_at: inserted[0].created_at })
})
app.listen(Number(PORT), '127.0.0.1', () => console.log(`listens on http://127.0.0.1:${PORT}`))
